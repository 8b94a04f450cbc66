import type { TrainJob } from '../../../../plugin/api.js';

/** What a batch is to the update that it is part of. */
export interface Turn {
  /** Number of the update, counted from 1 over the whole training. */
  readonly update: number;
  /** Whether its batches before this one, if any, are to be added to. */
  readonly goesOn: boolean;
  /** Part of the update's rows that the batch has. */
  readonly share: number;
  /** Whether the weights are moved after it. */
  readonly ends: boolean;
}

/** Which batches make an update together: `accumulate` of them, or what is left at the end of an epoch. */
export interface Turns {
  /** Updates of an epoch. */
  readonly perEpoch: number;
  /** @param step Number of the batch, counted from 1 over the whole training. */
  at(step: number): Turn;
}

export function planTurns({
  accumulate = 1,
  batchSize,
  dataset,
}: Pick<TrainJob, 'accumulate' | 'batchSize' | 'dataset'>): Turns {
  const { rows } = dataset.splits.train;
  const batches = Math.ceil(rows / batchSize);
  const perEpoch = Math.ceil(batches / accumulate);
  /** Rows of the batches from `first` until before `end`. */
  const rowsOf = (first: number, end: number): number => Math.min(end * batchSize, rows) - first * batchSize;
  return {
    perEpoch,
    at(step) {
      const epoch = Math.floor((step - 1) / batches);
      const batch = step - 1 - epoch * batches;
      const group = Math.floor(batch / accumulate);
      const first = group * accumulate;
      const end = Math.min(first + accumulate, batches);
      return {
        update: epoch * perEpoch + group + 1,
        goesOn: batch > first,
        share: rowsOf(batch, batch + 1) / rowsOf(first, end),
        ends: batch === end - 1,
      };
    },
  };
}
