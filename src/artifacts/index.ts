/** The only door to `.maas/`: manifests, digests, atomic commits, cache records, the project lock. */
export { canonicalJson } from './canonical-json.js';
export { digestFile, digestOf } from './digest.js';
export type { Artifact, FileEntry, Json, Manifest } from './manifest.js';
export { openStore } from './open-store.js';
export type { ArtifactStore, StageRecord, Staging } from './store.js';
export { damageOf, type Damage } from './verify.js';
