import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  digestOf,
  openStore,
  type Artifact,
  type ArtifactStore,
  type Manifest,
  type StageRecord,
} from '../../src/artifacts/index.js';

export const facts: Omit<Manifest, 'schemaVersion' | 'files'> = {
  stage: 'train',
  kind: 'model',
  name: 'iris',
  seed: 7,
  inputs: {},
  options: digestOf({}),
  key: {},
  toolchain: { maas: '1.0.0' },
  metrics: { accuracy: 0.5 },
};

/** A folder that goes when the test ends. */
export async function makeTemporary(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'maas-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

export async function makeStore(): Promise<ArtifactStore> {
  return openStore(join(await makeTemporary(), '.maas'));
}

export async function commitText(
  store: ArtifactStore,
  files: Readonly<Record<string, string>>,
  stage = 'train',
): Promise<Artifact> {
  const staging = await store.stage(stage);
  for (const [name, text] of Object.entries(files)) await writeFile(join(staging.path, name), text);
  return staging.commit({ ...facts, stage });
}

export function makeRecord(digest: string, changes: Partial<StageRecord> = {}): StageRecord {
  const parts = changes.parts ?? { seed: 7 };
  return {
    stage: 'train',
    digest,
    key: digestOf(parts),
    parts,
    measured: { seconds: 1.5 },
    notes: ['a note'],
    finishedAt: '2025-01-01T00:00:00.000Z',
    seconds: 1.5,
    ...changes,
  };
}
