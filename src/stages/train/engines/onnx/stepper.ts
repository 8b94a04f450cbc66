import { encodeModel } from '../../../../ir/onnx/save.js';
import { allocate, sizeOf, type NdArray } from '../../../../ir/tensor.js';
import { openSession } from '../../../../runtime/session.js';
import type { CompiledStep } from './compile-step.js';
import { fillMask } from './dropout.js';
import { stackSteps } from './stack-steps.js';

export type State = Readonly<Record<string, NdArray>>;

/** Holds the weights and the optimizer's memory, and moves them on step by step. */
export interface Stepper {
  /** Weights and slots as they are now, by the names of the step's inputs. */
  readonly state: State;
  /**
   * Trains on batches, one after another. It makes no difference how many come in one run.
   * @param batches Columns [steps, rows, …], by the names of the step's inputs.
   * @param leading [steps, rows].
   * @param first Number of the first step, counted from 1 over the whole training.
   * @param shareAt The share of the learning rate that a step is taken with; all of it by default.
   * @returns The mean loss of each batch, before its update.
   */
  run(
    batches: State,
    leading: readonly [number, number],
    first: number,
    shareAt?: (step: number) => number,
  ): Promise<ArrayLike<number>>;
  close(): Promise<void>;
}

/** Opens a session on a compiled step and sets it to `state`. */
export async function openStepper(
  compiled: CompiledStep,
  state: State,
  { seed, threads }: { readonly seed: number; readonly threads: number },
): Promise<Stepper> {
  const { model, inputs, outputs } = stackSteps(compiled);
  const session = await openSession(encodeModel(model), { threads, optimization: 'basic' });
  const carried = compiled.carried.map(({ input, output }) => ({
    input,
    fed: inputs.get(input)!,
    found: outputs.get(output)!,
  }));
  const loss = outputs.get(compiled.loss)!;
  const scalars = Object.entries(compiled.scalars).map(([key, input]) => ({ key, fed: inputs.get(input)! }));
  const feeds: Record<string, NdArray> = {};
  for (const { input, fed } of carried) feeds[fed] = state[input]!;
  const room = new Map<string, Float32Array>();
  /** An array to fill anew at each run. */
  const arrayFor = (fed: string, dims: readonly number[]): Float32Array => {
    const length = sizeOf(dims);
    let whole = room.get(fed);
    if (!whole || whole.length < length) room.set(fed, (whole = allocate('float32', length)));
    const data = whole.length === length ? whole : whole.subarray(0, length);
    feeds[fed] = { dtype: 'float32', dims, data };
    return data;
  };
  return {
    get state() {
      return Object.fromEntries(carried.map(({ input, fed }) => [input, feeds[fed]!]));
    },
    async run(batches, [steps, rows], first, shareAt) {
      for (const [name, array] of Object.entries(batches)) feeds[inputs.get(name)!] = array;
      const arrays = scalars.map(({ key, fed }) => ({ key, values: arrayFor(fed, [steps]) }));
      for (let at = 0; at < steps; at++) {
        const now = compiled.scalarsAt(first + at, shareAt?.(first + at));
        for (const { key, values } of arrays) values[at] = now[key]!;
      }
      for (const mask of compiled.masks) {
        const size = rows * mask.width;
        const dims = [steps, rows, ...mask.shape.slice(1).map(Number)];
        const values = arrayFor(inputs.get(mask.name)!, dims);
        for (let at = 0; at < steps; at++) {
          fillMask(values.subarray(at * size, (at + 1) * size), mask, seed, first + at);
        }
      }
      const found = await session.run(feeds);
      for (const { fed, found: name } of carried) feeds[fed] = found[name]!;
      return found[loss]!.data as Float32Array;
    },
    close: () => session.close(),
  };
}
