import { encodeModel } from '../../../../ir/onnx/save.js';
import { allocate, sizeOf, type NdArray } from '../../../../ir/tensor.js';
import { openSession } from '../../../../runtime/session.js';
import type { CompiledStep } from './compile-step.js';
import { fillMask } from './dropout.js';

export type State = Readonly<Record<string, NdArray>>;

/** Holds the weights and the optimizer's memory, and moves them on step by step. */
export interface Stepper {
  /** Weights and slots as they are now, by the names of the graph's inputs. */
  readonly state: State;
  /**
   * Trains on one batch.
   * @param step Counted from 1 over the whole training.
   * @returns The mean loss of the batch, before the update.
   */
  run(batch: State, rows: number, step: number): Promise<number>;
  close(): Promise<void>;
}

/** Opens a session on a compiled step and sets it to `state`. */
export async function openStepper(
  compiled: CompiledStep,
  state: State,
  {
    seed,
    threads,
    batchSize,
  }: { readonly seed: number; readonly threads: number; readonly batchSize: number },
): Promise<Stepper> {
  const session = await openSession(encodeModel(compiled.model), { threads, optimization: 'basic' });
  const { carried, masks, scalars } = compiled;
  const scalarRoom = Object.entries(scalars).map(([key, input]) => ({
    key,
    input,
    data: new Float32Array(1),
  }));
  const maskRoom = masks.map((mask) => ({ mask, data: allocate('float32', batchSize * mask.width) }));
  const feeds: Record<string, NdArray> = { ...state };
  for (const { input, data } of scalarRoom) feeds[input] = { dtype: 'float32', dims: [], data };
  return {
    get state() {
      return Object.fromEntries(carried.map(({ input }) => [input, feeds[input]!]));
    },
    async run(batch, rows, step) {
      Object.assign(feeds, batch);
      const values = compiled.scalarsAt(step);
      for (const { key, data } of scalarRoom) data[0] = values[key]!;
      for (const { mask, data } of maskRoom) {
        const dims = [rows, ...mask.shape.slice(1).map(Number)];
        const part = data.subarray(0, sizeOf(dims));
        fillMask(part, mask, seed, step);
        feeds[mask.name] = { dtype: 'float32', dims, data: part };
      }
      const found = await session.run(feeds);
      for (const { input, output } of carried) feeds[input] = found[output]!;
      return Number(found[compiled.loss]!.data[0]);
    },
    close: () => session.close(),
  };
}
