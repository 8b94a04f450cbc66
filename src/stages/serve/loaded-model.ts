import type { ServedModel } from '../../plugin/api.js';
import { AnswerCache, type CacheResult } from './answer-cache.js';
import type { Outputs } from './batcher.js';
import { checkInputs } from './check-inputs.js';
import type { ModelFiles } from './model-files.js';
import type { PaddingOrder } from './padding/open.js';
import type { ElementKind, PaddedRuns } from './padding/padded-runs.js';
import { readRelease } from './release.js';
import { RequestError } from './request-error.js';
import type { BodyPool } from './plain-http/body-pool.js';
import { createQueue } from './queue.js';
import { openRunner, type RunnerOptions } from './runner.js';

export interface LoadOptions extends RunnerOptions {
  /** In requests. */
  readonly maxQueue: number;
  readonly maxDelayMs?: number;
  /** In seconds, for requests that do not say. */
  readonly queueTimeout?: number | undefined;
  readonly cache?: { readonly maxBytes: number } | undefined;
  readonly onCache?: (model: Pick<ServedModel, 'name' | 'version'>, result: CacheResult) => void;
  /** Dimensions along which requests are padded. */
  readonly padding?: PaddingOrder | undefined;
  /** Told of the elements of inputs that are padded. */
  readonly onElements?: (
    model: Pick<ServedModel, 'name' | 'version'>,
    kind: ElementKind,
    elements: number,
  ) => void;
  /** Told why requests are padded no longer. */
  readonly onUnpadded?: (model: Pick<ServedModel, 'name' | 'version'>, reason: string) => void;
  /** Memory that requests may lie in. */
  readonly bodies?: BodyPool;
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
  /** Names of the dimensions along which requests are padded to share runs. */
  readonly padded: readonly string[];
  /** Why none are padded from the beginning although they should be. */
  readonly unpadded: string | undefined;
  /** Worker threads; 0 when the model runs in the server's own thread. */
  readonly workers: number;
  /** Rows of the longest runs that the server's own thread does although there are workers. */
  readonly rowsBeside: number;
  /** Rows that requests may fill in one run; 1 where they share none. */
  readonly maxBatchSize: number;
  /** False while no worker is up. */
  readonly ready: boolean;
  /** False when only a new process helps. */
  readonly live: boolean;
  /** Requests that wait for a run. */
  readonly depth: number;
  /** Bytes of the answers that are kept. */
  readonly cached: number;
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
 * @throws MaasError MAAS_MODEL_INVALID, MAAS_MODEL_UNSUPPORTED, MAAS_VERIFY_FAILED, MAAS_RUNTIME; MAAS_CONFIG_INVALID
 * for padding that does not fit it; MAAS_ENGINE_MISSING without what reads the images that the model takes
 */
export async function openModel(files: ModelFiles, options: LoadOptions): Promise<LoadedModel> {
  const { name, version, projectName, signature, size } = files;
  // Now, and not at the first image.
  if (signature?.features.some(({ type }) => type === 'image'))
    await (await import('../../data/images/sharp.js')).loadSharp();
  const identity = { name, version };
  const { padding: order } = options;
  let padding: PaddedRuns | string | undefined;
  const runner = await openRunner(files, {
    ...options,
    ...(order && {
      onRunIn: async (run, known) => {
        // Loaded where it is wanted.
        const { openPadding } = await import('./padding/open.js');
        padding ??= await openPadding(order, run, known, {
          count: (kind, elements) => options.onElements?.(identity, kind, elements),
          onRefused: (reason) => options.onUnpadded?.(identity, reason),
        });
      },
    }),
  });
  const padded = typeof padding === 'object' ? padding : undefined;
  const batcher = createQueue(runner, {
    run: (feeds, owned) => runner.run(feeds, owned).catch(refuseRun),
    rows: runner.rows,
    concurrency: Math.max(1, runner.workers),
    maxBatchSize: runner.maxBatchSize,
    maxDelay: options.maxDelayMs ?? 0,
    maxQueue: options.maxQueue,
    runTogether: padded?.runTogether,
    onRun: (count, seconds) => options.onRun?.(identity, count, seconds),
  });
  const { queueTimeout, cache: wanted, onCache, bodies } = options;
  const cache =
    wanted &&
    new AnswerCache({
      ...wanted,
      onUse: (result) => onCache?.(identity, result),
    });
  return {
    ...identity,
    ...runner.ports,
    signature,
    projectName,
    size,
    batching: runner.rows === 'share',
    unbatched: runner.reason,
    unpadded: typeof padding === 'string' ? padding : undefined,
    workers: runner.workers,
    rowsBeside: runner.rowsBeside,
    maxBatchSize: runner.rows === 'share' ? runner.maxBatchSize : 1,
    get padded() {
      return padded?.dimensions ?? [];
    },
    get ready() {
      return runner.ready;
    },
    get live() {
      return runner.live;
    },
    get depth() {
      return batcher.depth;
    },
    get cached() {
      return cache?.bytes ?? 0;
    },
    async predict(inputs, urgency = {}) {
      const checked = checkInputs(runner.ports, inputs, signature?.features);
      const deadline =
        urgency.deadline ?? (queueTimeout === undefined ? Infinity : performance.now() + 1000 * queueTimeout);
      const submit = (): Promise<Outputs> =>
        batcher.submit(padded?.admit(checked) ?? checked, { priority: urgency.priority, deadline });
      const run = (): Promise<Outputs> => bodies?.during(checked.feeds, submit) ?? submit();
      // One that is urgent in its own way must not share the fate of another.
      return cache ? cache.find(checked.feeds, run, Object.keys(urgency).length > 0) : run();
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
