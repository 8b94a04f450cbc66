import { openSession, tensorsOf, type Feeds, type Session, type Slots } from '../../runtime/session.js';
import type { Outputs } from './batcher.js';
import type { Ports } from './check-inputs.js';
import type { Golden } from './golden.js';
import type { ModelFiles } from './model-files.js';
import {
  chooseBatchSize,
  countCopies,
  countCores,
  countRowsBeside,
  countWorkers,
  isQuick,
  isTooLargeToTry,
  largestToTry,
} from './placement.js';
import { rememberFiles } from './remember-files.js';
import { takeRows } from '../../runtime/rows.js';
import { tryOut } from './try-out.js';
import { warmUp, type WarmUp } from './warm-up.js';
import type { PoolOptions } from './workers/pool.js';
import type { SpareThread } from '../../runtime/thread/spare-thread.js';

export interface RunnerOptions {
  /** In one run. `auto` is one, and more for a run that is alone where that is faster. */
  readonly threads: number | 'auto';
  /** Default `auto`. */
  readonly workers?: number | 'auto';
  /** In rows. */
  readonly maxBatchSize: number | 'auto';
  /** In seconds. Default 60. */
  readonly runTimeout?: number;
  /** Told when a worker is lost; another takes its place. */
  readonly onLost?: (reason: string) => void;
  /** That serve the same on this machine, and share its cores and memory. Default 1. */
  readonly processes?: number;
  /** Script of the workers. */
  readonly workerEntry?: URL;
  /** Of the first worker, if there are to be any. */
  readonly spare?: SpareThread | undefined;
  /** Folder for what can be made again. Without one no model is prepared. */
  readonly cacheFolder?: string | undefined;
  /** False where another process prepares the same. Default true. */
  readonly prepares?: boolean;
  /** Told that a model has been prepared, or why it could not be. */
  readonly onPrepared?: (error?: Error) => void;
  /** Told how many threads a run has that is alone, once that is known; why there are no more where they could not be had. */
  readonly onThreads?: (threads: number, error?: Error) => void;
  /** Looks closer at a model that was run in, each time that it was. What it throws refuses the model. */
  readonly onRunIn?: (run: Run, known: RunIn) => Promise<void>;
}

type Run = (feeds: Feeds) => ReturnType<Session['run']>;

/** What running a model in has shown. */
export interface RunIn extends WarmUp {
  readonly ports: Ports;
  /** Undefined where the model takes none of the rows that were tried. */
  readonly golden: Golden | undefined;
}

/** A model that is open and warm, in this thread or in workers. */
export interface Runner extends WarmUp {
  readonly ports: Ports;
  run(feeds: Feeds, owned: boolean): Promise<Outputs>;
  /** Worker threads; 0 when the model runs in this one. */
  readonly workers: number;
  /**
   * Rows of the longest runs that this thread does itself, although there are workers, or is one to come: they are over that
   * soon.
   */
  readonly rowsBeside: number;
  /** Longer runs that may be under way beside those of this thread; 0 where all take turns. */
  readonly runsBeside?: number;
  /** In rows. */
  readonly maxBatchSize: number;
  readonly ready: boolean;
  readonly live: boolean;
  /** Gives the memory back; call it when no run is under way. */
  close(): Promise<void>;
}

/**
 * Opens the model where it belongs: one that is quick runs in this thread, which saves the way to another and back; any
 * other in workers, so that it holds up no connection and uses all cores. Where a few rows are quick and many are not,
 * it runs in both.
 * @throws MaasError MAAS_MODEL_INVALID, MAAS_MODEL_UNSUPPORTED, MAAS_VERIFY_FAILED, MAAS_RUNTIME
 */
export async function openRunner(files: ModelFiles, options: RunnerOptions): Promise<Runner> {
  const { workers = 'auto' } = options;
  if (workers === 0 || (workers === 'auto' && !isTooLargeToTry(files.model))) {
    const opened = await openInline(files, options);
    const { runner, golden } = opened;
    const row = firstRow(golden, runner);
    const most = options.maxBatchSize === 'auto' ? defaultBatchSize : options.maxBatchSize;
    const rows = runner.rows === 'share' ? most : 1;
    const run = (feeds: Feeds): Promise<Outputs> => runner.run(feeds, false);
    if (workers === 0 || !row) return settle(opened, options);
    if (await isQuick(run, row, rows)) {
      const settled = await settle(opened, options);
      if (countCores(options.processes) <= threadsOf(options) || runner.rows !== 'share') return settled;
      // What requests fill together stays here: a worker takes a core from callers for as little.
      const most = Math.max(settled.maxBatchSize, await countRowsBeside(run, row, longestRun));
      return most < longestRun ? withHelp(settled, most, files, options) : settled;
    }
    const beside = await countRowsBeside(run, row, rows);
    if (beside > 0) {
      try {
        return await settle(besides(runner, beside, await openWorkers(files, options)), options);
      } catch (error) {
        await runner.close();
        throw error;
      }
    }
    await runner.close();
  }
  return settle(await openWorkers(files, options), options);
}

/** Where its size is to be measured and cannot be. */
const defaultBatchSize = 64;

/** No runs are tried that are longer. In rows. */
const longestRun = 256;

/** Runs that a worker has waiting: it begins the next while this thread still reads a request. */
const ahead = 1;

/**
 * A model that is quick, and a worker for its longer runs, so that this thread reads requests meanwhile. The worker is started
 * when the first of them comes: most models that are small never see one. Until it is up, and should it not start, they run
 * here.
 */
export function withHelp(
  inline: Runner,
  rowsBeside: number,
  files: ModelFiles,
  options: RunnerOptions,
): Runner {
  let pool: Opened['runner'] | undefined;
  let opening: Promise<void> | undefined;
  let closed = false;
  const open = async (): Promise<void> => {
    try {
      const { runner } = await openWorkers(files, { ...options, workers: 1, ahead });
      if (closed) await runner.close();
      else pool = runner;
    } catch (error) {
      options.onLost?.(error instanceof Error ? error.message : String(error));
    }
  };
  return {
    ...inline,
    rowsBeside,
    runsBeside: 1 + ahead,
    run(feeds, owned) {
      if (countRows(inline, feeds) <= rowsBeside) return inline.run(feeds, owned);
      opening ??= open();
      return (pool?.ready === true ? pool : inline).run(feeds, owned);
    },
    get live() {
      return pool?.live ?? true;
    },
    async close() {
      closed = true;
      await opening;
      await pool?.close();
      await inline.close();
    },
  };
}

function countRows({ ports }: Pick<Runner, 'ports'>, feeds: Feeds): number {
  const [first] = ports.inputs;
  return first ? (feeds[first.name]!.dims[0] ?? 1) : 1;
}

export interface Opened {
  readonly runner: Omit<Runner, 'maxBatchSize'>;
  readonly golden: Golden | undefined;
}

/** Runs of up to so many rows go to the one, longer ones to the workers. */
export function besides(inline: Opened['runner'], rowsBeside: number, { runner, golden }: Opened): Opened {
  const isShort = (feeds: Feeds): boolean =>
    inline.ports.inputs.length > 0 && (inline.rows === 'as-given' || countRows(inline, feeds) <= rowsBeside);
  const both: Opened['runner'] = {
    ...runner,
    rowsBeside,
    run: (feeds, owned) => (isShort(feeds) ? inline : runner).run(feeds, owned),
    get ready() {
      return runner.ready;
    },
    get live() {
      return runner.live;
    },
    async close() {
      await runner.close();
      await inline.close();
    },
  };
  return { runner: both, golden };
}

/** Decides how many rows may share a run. */
async function settle({ runner, golden }: Opened, { maxBatchSize }: RunnerOptions): Promise<Runner> {
  if (maxBatchSize !== 'auto') return Object.assign(runner, { maxBatchSize });
  const row = runner.rows === 'share' ? firstRow(golden, runner) : undefined;
  return Object.assign(runner, {
    maxBatchSize: row ? await chooseBatchSize((feeds) => runner.run(feeds, false), row) : defaultBatchSize,
  });
}

async function runIn(files: ModelFiles, slots: Slots, run: Run, { onRunIn }: RunnerOptions): Promise<RunIn> {
  const known = await warmUpOrTry(files, slots, run);
  await onRunIn?.(run, known);
  return known;
}

async function warmUpOrTry(files: ModelFiles, slots: Slots, run: Run): Promise<RunIn> {
  const { signature, golden } = files;
  if (!signature || !golden) return tryOut(slots, run);
  const { inputs, outputs } = signature;
  return {
    ...(await warmUp({ run }, signature, golden)),
    ports: { inputs, outputs },
    golden,
  };
}

function threadsOf({ threads }: Pick<RunnerOptions, 'threads'>): number {
  return threads === 'auto' ? 1 : threads;
}

async function openInline(files: ModelFiles, options: RunnerOptions): Promise<Opened> {
  const session = await openSession(files.model, { threads: threadsOf(options) });
  try {
    const fetches = files.signature?.outputs.map(({ name }) => name) ?? tensorsOf(session.slots);
    const run: Run = (feeds) => session.run(feeds, fetches);
    const { golden, ...known } = await runIn(files, session.slots, run, options);
    const runner: Opened['runner'] = {
      ...known,
      run,
      workers: 0,
      rowsBeside: 0,
      ready: true,
      live: true,
      close: () => session.close(),
    };
    return { runner, golden };
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function openWorkers(
  files: ModelFiles,
  options: RunnerOptions & Pick<PoolOptions, 'ahead'>,
): Promise<Opened> {
  const { signature, model, path, size } = files;
  const { workers = 'auto', runTimeout = 60, onLost, workerEntry, cacheFolder } = options;
  const threads = threadsOf(options);
  // Loaded here: most models that are tried out are small and never need it.
  const [{ WorkerPool }, { LoneRuns }] = await Promise.all([
    import('./workers/pool.js'),
    import('./workers/lone-runs.js'),
  ]);
  // What a model that is small could save is not worth a look.
  const preparation =
    cacheFolder !== undefined && path !== undefined && size > largestToTry
      ? await (await import('./preparation.js')).Preparation.open(cacheFolder, path)
      : undefined;
  let first: RunIn | undefined;
  const setup = {
    model,
    prepared: preparation?.path,
    session: { threads },
    fetches: signature?.outputs.map(({ name }) => name),
  };
  const shared = {
    verify: await rememberFiles(files.sources ?? []),
    runTimeout: runTimeout * 1000,
    ...(workerEntry && { entry: workerEntry }),
    warmUp: async (run, slots) => {
      if (!first) first = await runIn(files, slots, run, options);
      else if (first.golden) await run(first.golden.inputs);
    },
    apart: () => first?.rows === 'share',
    onLost: (reason) => onLost?.(reason),
  } satisfies Partial<PoolOptions>;
  const pool = await WorkerPool.open({
    ...shared,
    setup,
    size: workers === 'auto' ? countWorkers(size, threads, options.processes) : workers,
    spare: options.spare,
    ahead: options.ahead ?? 0,
  });
  const cores = countCores(options.processes);
  const lane =
    workers === 'auto' &&
    options.threads === 'auto' &&
    cores > 1 &&
    pool.size < countCopies(size, options.processes)
      ? new LoneRuns({
          pool,
          cores,
          open: (many) =>
            WorkerPool.open({ ...shared, setup: { ...setup, session: { threads: many } }, size: 1 }),
          ...(options.onThreads && { onChoice: options.onThreads }),
        })
      : pool;
  const { rows, reason, ports, golden } = first!;
  if (preparation && (options.prepares !== false || preparation.path !== undefined)) {
    void preparation.goOn({
      size,
      requests: golden ? [golden.inputs] : [],
      told: options.onPrepared,
    });
  }
  const runner: Opened['runner'] = {
    rows,
    ...(reason !== undefined && { reason }),
    ports,
    run: (feeds, owned) => lane.run(feeds, owned),
    workers: pool.size,
    rowsBeside: 0,
    get ready() {
      return pool.ready;
    },
    get live() {
      return pool.live;
    },
    close: async () => {
      await preparation?.close();
      await lane.close();
    },
  };
  return { runner, golden };
}

/** What to measure with; undefined where there are no rows to try. */
function firstRow(golden: Golden | undefined, { rows }: WarmUp): Feeds | undefined {
  if (!golden) return undefined;
  const arrays = Object.entries(golden.inputs);
  if (rows === 'as-given') return golden.inputs;
  if (arrays.some(([, { dims }]) => dims[0] === 0)) return undefined;
  return Object.fromEntries(arrays.map(([name, array]) => [name, takeRows(array, 0, 1)]));
}
