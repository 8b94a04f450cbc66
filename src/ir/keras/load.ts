import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Model } from '../graph.js';
import { MaasError } from '../../errors.js';
import { emitKeras } from './emit.js';
import { invalidKeras } from './problems.js';
import { decodeWeights, readManifest, type WeightSpec } from './shards.js';
import { readTopology } from './topology.js';
import { KerasWeights } from './weights.js';

/** A Keras model in memory, as the save handlers of TensorFlow.js get it. */
export interface KerasArtifacts {
  readonly modelTopology: unknown;
  readonly weightSpecs: readonly WeightSpec[];
  /** All weights one after another. */
  readonly weightData: Uint8Array;
}

/**
 * Imports a layers-model of TensorFlow.js: model.json and the files with weights beside it.
 * @throws MaasError MAAS_MODEL_INVALID when a file is missing or broken, MAAS_MODEL_UNSUPPORTED for layers and settings
 * that maas cannot express.
 */
export async function loadKeras(file: string): Promise<Model> {
  return named(file, async () => {
    const { modelTopology, groups } = await readModelFile(file);
    const folder = resolve(dirname(file));
    const arrays = new Map<
      string,
      ReturnType<typeof decodeWeights> extends ReadonlyMap<string, infer A> ? A : never
    >();
    for (const { paths, weights } of groups) {
      const shards = await Promise.all(paths.map((path) => readBytes(join(folder, path))));
      for (const [name, array] of decodeWeights(weights, Buffer.concat(shards))) arrays.set(name, array);
    }
    return emitKeras(readTopology(modelTopology), new KerasWeights(arrays));
  });
}

/** Imports a model that is in memory. @throws MaasError as `loadKeras`. */
export function importKeras({ modelTopology, weightSpecs, weightData }: KerasArtifacts): Model {
  return emitKeras(readTopology(modelTopology), new KerasWeights(decodeWeights(weightSpecs, weightData)));
}

/** The files that a model.json consists of, itself the first. @throws MaasError MAAS_MODEL_INVALID */
export async function kerasFiles(file: string): Promise<string[]> {
  return named(file, async () => {
    const { groups } = await readModelFile(file);
    const folder = resolve(dirname(file));
    return [file, ...groups.flatMap(({ paths }) => paths.map((path) => join(folder, path)))];
  });
}

async function readModelFile(file: string) {
  const bytes = await readBytes(file);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw invalidKeras(`it is no JSON: ${(error as Error).message}`, error);
  }
  if (typeof json !== 'object' || json === null || !('modelTopology' in json)) {
    throw invalidKeras('it has no modelTopology');
  }
  const { modelTopology, weightsManifest } = json as Record<string, unknown>;
  return { modelTopology, groups: readManifest(weightsManifest) };
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw invalidKeras(`a file of the model cannot be read: ${(error as Error).message}`, error);
  }
}

/** Errors name the file. */
async function named<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MaasError) || error.place) throw error;
    const { message, hint, details, cause } = error;
    throw new MaasError(error.code, message, { place: { file }, hint, cause, ...(details && { details }) });
  }
}
