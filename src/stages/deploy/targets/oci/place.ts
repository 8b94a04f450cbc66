import type { Descriptor, ImageManifest } from './blob.js';

/** Where images lie by tag: a layout on this machine, or a repository of a registry. */
export interface Place {
  tags(): Promise<string[]>;
  /** What a tag names; undefined when there is no such tag. */
  resolve(tag: string): Promise<Descriptor | undefined>;
  readManifest(descriptor: Descriptor): Promise<ImageManifest>;
  readBlob(digest: string): Promise<Buffer>;
  holds(blob: Descriptor): Promise<boolean>;
  /** Brings a manifest of the layout here with all its blobs, then tags it. */
  publish(tag: string, descriptor: Descriptor): Promise<unknown>;
  /** Makes the tag name a manifest whose blobs are there. Whoever reads it meanwhile gets the old one or the new one. */
  tag(tag: string, descriptor: Descriptor): Promise<void>;
  /** Removes tags and what only they name; returns how many are gone. A place may refuse to, and returns 0. */
  remove(tags: readonly string[]): Promise<number>;
}
