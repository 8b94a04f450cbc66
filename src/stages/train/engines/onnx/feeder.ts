import type { Column } from '../../../../data/dataset.js';
import { sizeOf } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
import type { Ranks } from '../../../../runtime/mpi/join-ranks.js';
import { openAugmenter } from './augment.js';
import { prepareBatches } from './batches.js';
import type { CompiledStep } from './compile-step.js';
import { fillMask } from './dropout.js';
import { openOrder } from './order.js';
import type { Rooms } from './rooms.js';
import type { State } from './stepper.js';

/** What one run trains on. */
export interface Portion {
  /** Steps of the run, and rows of each. */
  readonly steps: number;
  readonly rows: number;
  /** Part of these rows that the feeds have: 1, but where ranks have shares of a batch. */
  readonly share: number;
  /** Columns and masks [steps, rows, …], or [rows, …] for a share, by the names of the step's inputs. */
  readonly feeds: State;
}

/** A place between two steps: epochs and their batches count from 0. */
export interface Place {
  readonly epoch: number;
  readonly batch: number;
}

/** Gathers what runs are fed. It depends on the place alone, so it may be done ahead, while another run is under way. */
export interface Feeder {
  /** Batches of an epoch. */
  readonly steps: number;
  /** @param most Steps; there are fewer when the epoch or its whole batches end before. */
  gather(place: Place, most: number): Portion;
}

/** @param columns Arrays of the training rows, [rows, …], by the input that they feed. */
export function openFeeder(
  job: Pick<TrainJob, 'batchSize' | 'seed' | 'sampling' | 'augment' | 'dataset' | 'ranks'>,
  { masks }: Pick<CompiledStep, 'masks'>,
  columns: Readonly<Record<string, Column>>,
  rooms: Rooms,
): Feeder {
  const { batchSize, seed, ranks } = job;
  const total = Object.values(columns)[0]!.dims[0]!;
  const perEpoch = Math.ceil(total / batchSize);
  const take = prepareBatches(columns, rooms);
  const augment = openAugmenter(job, columns);
  const order = openOrder(Object.values(columns), total, job);
  return {
    steps: perEpoch,
    gather({ epoch, batch }, most) {
      const start = batch * batchSize;
      // The last batch may have fewer rows, and then has a run of its own.
      const whole = Math.floor((total - start) / batchSize);
      const steps = whole === 0 ? 1 : Math.min(whole, most);
      const rows = whole === 0 ? total - start : batchSize;
      const [from, to] = ranks ? partOf(rows, ranks) : [0, rows];
      // A share is one step, without an axis of steps.
      const leading = ranks ? [Math.max(to - from, 1)] : [steps, rows];
      const feeds = take(order(epoch, start, steps * rows), Math.min(from, rows - 1), leading);
      augment(feeds, epoch, start + Math.min(from, rows - 1));
      const number = epoch * perEpoch + batch + 1;
      for (const mask of masks) {
        const size = rows * mask.width;
        const dims = [...leading, ...mask.shape.slice(1).map(Number)];
        const data = rooms.take('float32', steps * size) as Float32Array;
        for (let at = 0; at < steps; at++) {
          fillMask(data.subarray(at * size, (at + 1) * size), mask, seed, number + at);
        }
        const first = Math.min(from, rows - 1) * mask.width;
        feeds[mask.name] = { dtype: 'float32', dims, data: data.subarray(first, first + sizeOf(dims)) };
      }
      return { steps, rows, share: (to - from) / rows, feeds };
    },
  };
}

/** A rank's rows of a batch: ranks have the same number of them, or one more. A batch may have fewer rows than there are ranks. */
function partOf(
  rows: number,
  { rank, size }: Pick<Ranks, 'rank' | 'size'>,
): readonly [from: number, to: number] {
  return [Math.floor((rows * rank) / size), Math.floor((rows * (rank + 1)) / size)];
}
