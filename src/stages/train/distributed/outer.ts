import { MaasError } from '../../../errors.js';
import type { Project, Registry, TrainOrder, TrainOutcome, TrainProgress } from '../../../plugin/api.js';
import type { World } from '../../../runtime/mpi/world.js';
import type { TrainOptions } from '../config.js';
import type { Distributed } from './config.js';
import { trainRank, type RankOrder } from './train-rank.js';

/** What a process other than rank 0 does of a command: its part of the training, when rank 0 calls for it. */
export async function followWorld(
  world: World,
  context: { readonly project: Project; readonly registry: Registry; readonly signal: AbortSignal },
): Promise<void> {
  const { ranks, message } = await world.listen();
  const options = context.project.config['train'] as TrainOptions;
  try {
    if (message !== undefined) {
      await trainRank(ranks, { ...context, options, ...(message as Call) }, () => undefined);
    }
  } catch (error) {
    // Rank 0 says so for all: a launcher that sees this rank fail would end rank 0 before it has.
    if (!hasStoppedWithAll(error)) throw error;
  }
  world.end(ranks);
}

/** What rank 0 tells the others. */
type Call = Pick<RankOrder, 'work' | 'data'>;

/**
 * Trains as rank 0 of the processes that an outer launcher has started. A rank that is lost ends them all; the same command
 * again goes on from the checkpoint.
 * @param fit The engine's work on this rank.
 * @throws MaasError MAAS_RANKS_FAILED when there is no progress for too long.
 */
export async function leadWorld(
  world: World,
  order: TrainOrder,
  { silenceSeconds }: Distributed,
  fit: (order: TrainOrder) => Promise<TrainOutcome>,
): Promise<TrainOutcome> {
  const ranks = await world.call({ work: order.work, data: order.dataset.digest } satisfies Call);
  let heard = performance.now();
  const onProgress = (progress: TrainProgress): void => {
    heard = performance.now();
    order.onProgress(progress);
  };
  let watch: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    watch = setInterval(() => {
      if (performance.now() - heard < silenceSeconds * 1000) return;
      reject(new MaasError('MAAS_RANKS_FAILED', `the ranks made no progress for ${silenceSeconds} s`));
    }, 1000);
  });
  try {
    const outcome = await Promise.race([fit({ ...order, ranks, onProgress }), silence]);
    world.end(ranks);
    return outcome;
  } catch (error) {
    if (hasStoppedWithAll(error)) world.end(ranks);
    throw error;
  } finally {
    clearInterval(watch);
  }
}

/** Whether the ranks have agreed on ending here; other errors are of one rank alone. */
function hasStoppedWithAll(error: unknown): boolean {
  return (
    error instanceof MaasError && error.code === 'MAAS_INTERRUPTED' && error.details?.['epoch'] !== undefined
  );
}
