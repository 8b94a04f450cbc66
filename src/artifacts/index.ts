/** The only door to `.maas/`: manifests, digests, atomic commits, cache records, the project lock. */
export type { Artifact, FileEntry, Json, Manifest } from './manifest.js';
export type { ArtifactStore, StageRecord } from './store.js';
