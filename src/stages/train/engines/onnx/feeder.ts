import type { Column } from '../../../../data/dataset.js';
import { sizeOf } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
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
  /** Columns and masks [steps, rows, …], by the names of the step's inputs. */
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
  { batchSize, seed }: Pick<TrainJob, 'batchSize' | 'seed'>,
  { masks }: Pick<CompiledStep, 'masks'>,
  columns: Readonly<Record<string, Column>>,
  rooms: Rooms,
): Feeder {
  const total = Object.values(columns)[0]!.dims[0]!;
  const perEpoch = Math.ceil(total / batchSize);
  const take = prepareBatches(columns, rooms);
  const order = openOrder(Object.values(columns), total, seed);
  return {
    steps: perEpoch,
    gather({ epoch, batch }, most) {
      const start = batch * batchSize;
      // The last batch may have fewer rows, and then has a run of its own.
      const whole = Math.floor((total - start) / batchSize);
      const steps = whole === 0 ? 1 : Math.min(whole, most);
      const rows = whole === 0 ? total - start : batchSize;
      const feeds = take(order(epoch, start, steps * rows), 0, [steps, rows]);
      const first = epoch * perEpoch + batch + 1;
      for (const mask of masks) {
        const size = rows * mask.width;
        const dims = [steps, rows, ...mask.shape.slice(1).map(Number)];
        const data = rooms.take('float32', sizeOf(dims)) as Float32Array;
        for (let at = 0; at < steps; at++) {
          fillMask(data.subarray(at * size, (at + 1) * size), mask, seed, first + at);
        }
        feeds[mask.name] = { dtype: 'float32', dims, data };
      }
      return { steps, rows, feeds };
    },
  };
}
