import type { Artifact, Json, Manifest } from './manifest.js';

/** What a stage last did: the pointer to its artifact, with the parts of the key and the measurements of the run. */
export interface StageRecord {
  readonly stage: string;
  readonly digest: string;
  /** sha256 over `parts`. */
  readonly key: string;
  /** Everything that could change the result, by name (`options.epochs`, `input.model`, `data`, `seed`, …). */
  readonly parts: Readonly<Record<string, Json>>;
  readonly measured: Readonly<Record<string, Json>>;
  readonly notes: readonly string[];
  readonly finishedAt: string;
  readonly seconds: number;
}

export interface Staging {
  /** Empty folder to write the artifact's files into. */
  readonly path: string;
  /** Hashes and fsyncs the files, writes the manifest, renames the folder into place. Same content → same artifact. */
  commit(manifest: Omit<Manifest, 'schemaVersion' | 'files'>): Promise<Artifact>;
  discard(): Promise<void>;
}

/** `.maas/` of one project. Every method leaves the last good state in place when it fails or is killed. */
export interface ArtifactStore {
  /** Absolute path of `.maas`. */
  readonly root: string;
  /** Last record of a stage, or undefined when it never ran. */
  current(stage: string): Promise<StageRecord | undefined>;
  /** Record of an earlier run with this very key, whether or not it is the current one. */
  cached(stage: string, key: string): Promise<StageRecord | undefined>;
  /** Writes the cache record and moves the stage's pointer, atomically. */
  record(record: StageRecord): Promise<void>;
  /**
   * Opens a committed artifact.
   * @throws MaasError MAAS_ARTIFACT_CORRUPT when a file is missing or its digest differs (`verify`, default true).
   */
  open(stage: string, digest: string, options?: { verify?: boolean }): Promise<Artifact>;
  stage(stage: string): Promise<Staging>;
  /** Folder for work in progress under this key; survives kills. */
  work(stage: string, key: string): Promise<string>;
  removeWork(stage: string, key: string): Promise<void>;
  /**
   * Takes the project's lock, or throws MAAS_LOCKED naming the holder. A lock whose holder is dead is taken over.
   * @returns the function that gives it back.
   */
  lock(doing: string): Promise<() => Promise<void>>;
  /**
   * Removes what nothing points to any more: of every stage the current record and the newest `keep` cached ones stay,
   * with their artifacts, and the newest `keep` work folders. To be called with the lock held.
   */
  prune(keep: number): Promise<void>;
}
