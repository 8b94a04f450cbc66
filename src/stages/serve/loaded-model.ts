import type { ServedModel } from '../../plugin/api.js';
import { Batcher } from './batcher.js';
import { checkInputs } from './check-inputs.js';
import type { ModelFiles } from './model-files.js';
import { readRelease } from './release.js';
import { RequestError } from './request-error.js';
import { openRunner, type RunnerOptions } from './runner.js';

export interface LoadOptions extends RunnerOptions {
  /** In requests. */
  readonly maxQueue: number;
  /** Told of every run: rows and seconds. */
  readonly onRun?: (model: Pick<ServedModel, 'name' | 'version'>, rows: number, seconds: number) => void;
}

/** A release in memory, warmed up and ready for requests. */
export interface LoadedModel extends ServedModel {
  readonly projectName: string;
  /** On disk, in bytes. */
  readonly size: number;
  /** True when requests that wait together share runs. */
  readonly batching: boolean;
  /** Why each row runs by itself, when it does. */
  readonly unbatched: string | undefined;
  /** Worker threads; 0 when the model runs in the server's own thread. */
  readonly workers: number;
  /** False while no worker is up. */
  readonly ready: boolean;
  /** False when only a new process helps. */
  readonly live: boolean;
  /** Requests that wait for a run. */
  readonly depth: number;
  /** Ends the run under way, refuses what waits, and gives the memory back. */
  close(): Promise<void>;
}

/**
 * Loads a release folder: checks every digest, opens the model from the bytes that were checked, runs the golden rows.
 * @throws MaasError MAAS_RELEASE_MISSING, MAAS_ARTIFACT_CORRUPT, and what `openModel` throws
 */
export async function loadModel(path: string, options: LoadOptions): Promise<LoadedModel> {
  return openModel(await readRelease(path), options);
}

/**
 * Opens a model and runs it in.
 * @throws MaasError MAAS_MODEL_INVALID, MAAS_MODEL_UNSUPPORTED, MAAS_VERIFY_FAILED, MAAS_RUNTIME; MAAS_ENGINE_MISSING
 * without what reads the images that the model takes
 */
export async function openModel(files: ModelFiles, options: LoadOptions): Promise<LoadedModel> {
  const { name, version, projectName, signature, size } = files;
  // Now, and not at the first image.
  if (signature?.features.some(({ type }) => type === 'image'))
    await (await import('../../data/images/sharp.js')).loadSharp();
  const runner = await openRunner(files, options);
  const identity = { name, version };
  const batcher = new Batcher({
    run: (feeds, owned) => runner.run(feeds, owned).catch(refuseRun),
    rows: runner.rows,
    concurrency: Math.max(1, runner.workers),
    maxBatchSize: options.maxBatchSize,
    maxQueue: options.maxQueue,
    onRun: (count, seconds) => options.onRun?.(identity, count, seconds),
  });
  return {
    ...identity,
    ...runner.ports,
    signature,
    projectName,
    size,
    batching: runner.rows === 'share',
    unbatched: runner.reason,
    workers: runner.workers,
    get ready() {
      return runner.ready;
    },
    get live() {
      return runner.live;
    },
    get depth() {
      return batcher.depth;
    },
    async predict(inputs) {
      return batcher.submit(checkInputs(runner.ports, inputs, signature?.features));
    },
    async close() {
      await batcher.close();
      await runner.close();
    },
  };
}

/** Inputs of the right shape that the model still cannot take, such as an index outside of its table. */
function refuseRun(error: unknown): never {
  if (error instanceof RequestError) throw error;
  const reason = error instanceof Error ? error.message : String(error);
  throw new RequestError(500, `the model cannot run on this input: ${reason}`, { cause: error });
}
