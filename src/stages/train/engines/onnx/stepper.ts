import { encodeModel } from '../../../../ir/onnx/save.js';
import type { NdArray } from '../../../../ir/tensor.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';
import { useBlocks } from './block-convolutions.js';
import type { CompiledStep } from './compile-step.js';
import { openKernelStepper } from './kernel-stepper.js';
import { stackSteps } from './stack-steps.js';

export type State = Readonly<Record<string, NdArray>>;

/** Moves the weights and the optimizer's memory on, step by step. They are kept in the thread, by the names of the step's inputs. */
export interface Stepper {
  /** Copies of what is kept as it is now; all of it by default. */
  read(names?: readonly string[]): Promise<State>;
  /**
   * Trains on batches, one after another. It makes no difference how many come in one run.
   * @param feeds Columns and masks [steps, rows, …], by the names of the step's inputs; lent until the run is done.
   * @param shareAt The share of the learning rate that a step is taken with; all of it by default.
   */
  run(feeds: State, steps: Steps, shareAt?: (step: number) => number): Promise<Made>;
  /** Lets the thread have the weights as they are now, where they are kept elsewhere. */
  share?(): Promise<void>;
}

export interface Steps {
  readonly count: number;
  /** Number of the first, counted from 1 over the whole training. */
  readonly first: number;
  /** Part of a batch that the rows of the feeds are: 1, but where ranks have shares of it. */
  readonly share: number;
}

export interface Made {
  /** The mean loss of each batch, before its update. */
  readonly losses: ArrayLike<number>;
  /** Arrays of the feeds, to be filled again. */
  readonly returned: State;
}

/** Opens a compiled step in a thread and sets it to `state`, or to where a training begins. */
export async function openStepper(
  thread: SessionThread,
  compiled: CompiledStep,
  state: State | undefined,
  threads: number,
): Promise<Stepper> {
  if (compiled.kernels) {
    const stepper = await openKernelStepper(thread, { ...compiled, kernels: compiled.kernels }, threads);
    await putState(thread, compiled, state);
    return stepper;
  }
  const graph = await useBlocks(compiled.model.graph, thread);
  const { model, inputs, outputs } = stackSteps({ ...compiled, model: { ...compiled.model, graph } });
  const session = await thread.open(encodeModel(model), { threads, optimization: 'basic' });
  const kept = compiled.carried.map(({ input }) => input);
  await putState(thread, compiled, state);
  const loss = outputs.get(compiled.loss)!;
  const options = {
    fetches: [loss],
    use: Object.fromEntries(kept.map((input) => [inputs.get(input)!, input])),
    keep: Object.fromEntries(compiled.carried.map(({ input, output }) => [outputs.get(output)!, input])),
  };
  return {
    read: (names = kept) => thread.read(names),
    async run(feeds, { count, first }, shareAt) {
      const all = { ...feeds, ...scalarsOf(compiled, count, first, shareAt) };
      const stacked = Object.entries(all).map(([name, array]) => [inputs.get(name)!, array]);
      const { arrays, returned } = await session.runLent(Object.fromEntries(stacked) as State, options);
      return { losses: arrays[loss]!.data as Float32Array, returned };
    },
  };
}

/** Sets what a step hands on to `state`, or to where a training begins. */
export async function putState(
  thread: SessionThread,
  { carried }: CompiledStep,
  state: State | undefined,
): Promise<void> {
  // One by one: nothing is there twice but the one that goes over.
  for (const { input, initial } of carried) {
    const given = state?.[input];
    await thread.put({ [input]: given ?? initial() }, given === undefined);
  }
}

function scalarsOf(
  compiled: CompiledStep,
  count: number,
  first: number,
  shareAt?: (step: number) => number,
): State {
  const steps = Array.from({ length: count }, (_, at) =>
    compiled.scalarsAt(first + at, shareAt?.(first + at)),
  );
  const arrays = Object.entries(compiled.scalars).map(([key, input]) => {
    const data = Float32Array.from(steps, (scalars) => scalars[key]!);
    return [input, { dtype: 'float32', dims: [count], data }];
  });
  return Object.fromEntries(arrays) as State;
}
