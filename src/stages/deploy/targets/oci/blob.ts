/** A blob in an OCI image (image-spec 1.1, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
  history: 'application/vnd.maas.history.v1+jsonl',
} as const;

/** A layer as it is stored, and the digest of the tar that it unpacks to: that one does not depend on the compressor. */
export interface Layer extends Descriptor {
  readonly diffId: string;
}

/** An image or artifact manifest (image-spec 1.1, manifest.md). */
export interface ImageManifest {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Annotation of an image that tells which release is in it. */
export const releaseAnnotation = 'maas.release';
