import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Listr, type ListrTask } from 'listr2';
import { onTestFinished } from 'vitest';
import { readSection } from '../../../../src/config/index.js';
import type { Model } from '../../../../src/ir/graph.js';
import { saveModel } from '../../../../src/ir/onnx/save.js';
import {
  cleanupPasses,
  equalizeLayersPass,
  fileOptions,
  foldPass,
  quantizeEmbeddingsPass,
  quantizePass,
  smoothQuantPass,
  storeBytesPass,
  storeHalvesPass,
  toStaticShapesPass,
} from '../../../../src/stages/compress/index.js';
import { compressFile, type FileResult } from '../../../../src/stages/compress/file/compress-file.js';

const passes = new Map(
  [
    foldPass,
    quantizePass,
    quantizeEmbeddingsPass,
    storeBytesPass,
    storeHalvesPass,
    toStaticShapesPass,
    smoothQuantPass,
    equalizeLayersPass,
    ...cleanupPasses,
  ].map((pass) => [pass.name, pass]),
);
export const registry = { passes } as never;
/** Latency is a matter of the machine that runs the tests. */
export const relaxed = 'compress.gates.latency.maxRatio=100';

export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'maas-file-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Order {
  readonly external?: boolean;
  readonly calibration?: string;
  readonly set?: string[];
  readonly out?: string;
}

/** Compresses `model` from a file of `folder` to another. */
export async function compress(
  folder: string,
  model: Model,
  { external, calibration, set = [relaxed], out: name = 'made.onnx' }: Order = {},
): Promise<FileResult> {
  const path = join(folder, 'given.onnx');
  const out = join(folder, name);
  await saveModel(model, path, { external });
  const order = {
    model: path,
    calibration,
    out,
    options: readSection('compress', fileOptions(registry), set),
    registry,
    signal: new AbortController().signal,
  };
  const run = async (tasks: readonly ListrTask[]) => {
    await new Listr([...tasks], { renderer: 'silent' }).run();
  };
  return compressFile(order, run);
}
