import type { Feeds } from '../../runtime/session.js';
import { openSession } from '../../runtime/session.js';
import type { Outputs } from './batcher.js';
import { countWorkers, isQuick, isTooLargeToTry } from './placement.js';
import type { ReleaseFiles } from './release.js';
import { takeRows } from './rows.js';
import { warmUp, type WarmUp } from './warm-up.js';

export interface RunnerOptions {
  readonly threads: number;
  /** Default `auto`. */
  readonly workers?: number | 'auto';
  /** In rows. */
  readonly maxBatchSize: number;
  /** In seconds. Default 60. */
  readonly runTimeout?: number;
  /** Told when a worker is lost; another takes its place. */
  readonly onLost?: (reason: string) => void;
}

/** A model that is open and warm, in this thread or in workers. */
export interface Runner extends WarmUp {
  run(feeds: Feeds, owned: boolean): Promise<Outputs>;
  /** Worker threads; 0 when the model runs in this one. */
  readonly workers: number;
  readonly ready: boolean;
  readonly live: boolean;
  /** Gives the memory back; call it when no run is under way. */
  close(): Promise<void>;
}

/**
 * Opens the model where it belongs: one that is quick runs in this thread, which saves the way to another and back; any
 * other in workers, so that it holds up no connection and uses all cores.
 * @throws MaasError MAAS_MODEL_INVALID, MAAS_VERIFY_FAILED, MAAS_RUNTIME
 */
export async function openRunner(release: ReleaseFiles, options: RunnerOptions): Promise<Runner> {
  const { workers = 'auto', maxBatchSize } = options;
  if (workers === 0 || (workers === 'auto' && !isTooLargeToTry(release.model))) {
    const inline = await openInline(release, options);
    const row = firstRow(release, inline);
    const most = inline.rows === 'share' ? maxBatchSize : 1;
    if (workers === 0 || !row || (await isQuick((feeds) => inline.run(feeds, false), row, most)))
      return inline;
    await inline.close();
  }
  return openWorkers(release, options);
}

async function openInline(release: ReleaseFiles, { threads }: RunnerOptions): Promise<Runner> {
  const { signature, golden, model } = release;
  const fetches = fetchesOf(release);
  const session = await openSession(model, { threads });
  try {
    return {
      ...(await warmUp(session, signature, golden)),
      run: (feeds) => session.run(feeds, fetches),
      workers: 0,
      ready: true,
      live: true,
      close: () => session.close(),
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function openWorkers(release: ReleaseFiles, options: RunnerOptions): Promise<Runner> {
  const { signature, golden, model, manifest } = release;
  const { threads, workers = 'auto', runTimeout = 60, onLost } = options;
  const bytes = Object.values(manifest.files).reduce((sum, { size }) => sum + size, 0);
  // Loaded here: most models that are tried out are small and never need it.
  const { WorkerPool } = await import('./workers/pool.js');
  let first: WarmUp | undefined;
  const pool = await WorkerPool.open({
    setup: { model, session: { threads }, fetches: fetchesOf(release) },
    size: workers === 'auto' ? countWorkers(bytes, threads) : workers,
    runTimeout: runTimeout * 1000,
    warmUp: async (run) => {
      if (first) await run(golden.inputs);
      else first = await warmUp({ run }, signature, golden);
    },
    onLost: (reason) => onLost?.(reason),
  });
  return {
    ...first!,
    run: (feeds, owned) => pool.run(feeds, owned),
    workers: pool.size,
    get ready() {
      return pool.ready;
    },
    get live() {
      return pool.live;
    },
    close: () => pool.close(),
  };
}

function fetchesOf({ signature }: ReleaseFiles): string[] {
  return signature.outputs.map((output) => output.name);
}

/** What to measure with; undefined where the release has no golden rows. */
function firstRow({ golden }: ReleaseFiles, { rows }: WarmUp): Feeds | undefined {
  const arrays = Object.entries(golden.inputs);
  if (rows === 'as-given') return golden.inputs;
  if (arrays.some(([, { dims }]) => dims[0] === 0)) return undefined;
  return Object.fromEntries(arrays.map(([name, array]) => [name, takeRows(array, 0, 1)]));
}
