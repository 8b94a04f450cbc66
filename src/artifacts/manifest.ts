export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface FileEntry {
  readonly sha256: string;
  /** In bytes. */
  readonly size: number;
}

/**
 * `manifest.json` of an artifact. It holds only what is reproducible, so that the same config, data and seed give the
 * same bytes; times and measurements of the moment are in the stage's record (see StageRecord).
 */
export interface Manifest {
  readonly schemaVersion: 1;
  readonly stage: string;
  readonly kind: string;
  readonly name: string;
  readonly seed: number;
  /** Digests of the artifacts this one was made from, by kind. */
  readonly inputs: Readonly<Record<string, string>>;
  /** sha256 of the options section in canonical JSON. */
  readonly options: string;
  /** Further parts of the cache key, as the stage states them. */
  readonly key: Readonly<Record<string, Json>>;
  readonly toolchain: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, Json>>;
  /** By path relative to the artifact's folder, with forward slashes, sorted. */
  readonly files: Readonly<Record<string, FileEntry>>;
}

/** A whole, committed artifact on disk. Its digest is the sha256 of its manifest in canonical JSON. */
export interface Artifact {
  readonly digest: string;
  readonly path: string;
  readonly manifest: Manifest;
}
