import { MaasError } from '../../../errors.js';
import type { Project, Registry, TrainOutcome, TrainProgress } from '../../../plugin/api.js';
import type { Ranks } from '../../../runtime/mpi/join-ranks.js';
import type { TrainOptions } from '../config.js';
import { Training } from '../train.js';

export interface RankOrder {
  readonly project: Project;
  readonly options: TrainOptions;
  readonly registry: Registry;
  readonly signal: AbortSignal;
  /** Folder of the checkpoints. */
  readonly work: string;
  /** Digest of the data that the maas in charge has read. */
  readonly data: string;
}

/**
 * Does one rank's part of a training, from the data on.
 * @throws MaasError MAAS_RANKS_FAILED when this rank reads other data, and what the engine throws.
 */
export async function trainRank(
  ranks: Ranks,
  { data, ...order }: RankOrder,
  onProgress: (progress: TrainProgress) => void,
): Promise<TrainOutcome> {
  const training = await Training.open({
    ...order,
    emit: () => undefined,
    result: { metrics: {}, measured: {}, notes: [] },
    ranks,
  });
  if (training.dataset.digest !== data) {
    throw new MaasError(
      'MAAS_RANKS_FAILED',
      `rank ${ranks.rank} reads other data than the maas that started it`,
      { hint: 'All hosts need the same data at the same path.' },
    );
  }
  await training.build();
  return training.fit(onProgress);
}
