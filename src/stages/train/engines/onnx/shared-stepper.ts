import type { Graph, Model } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import type { NdArray } from '../../../../ir/tensor.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';
import type { Company } from './company.js';
import { useBlocks } from './block-convolutions.js';
import type { CompiledStep } from './compile-step.js';
import { gradientGraph, openWalk, type WithKernels } from './kernel-stepper.js';
import { splitStep } from './split-step.js';
import { putState, type State, type Stepper } from './stepper.js';

/** Gradients of fewer elements travel together: the time of a small message is that of its way. */
const small = 2 ** 16;

export interface SharedStepper extends Stepper {
  /** Where the time went, of all ranks; every rank must ask at the same time. */
  describe(): Promise<string>;
}

/**
 * Opens a compiled step that several ranks take together: each computes the gradients of its own rows, their sum over
 * all ranks is what moves the weights, and so these are the same everywhere, to the bit. One step a run.
 */
export async function openSharedStepper(
  thread: SessionThread,
  compiled: CompiledStep,
  state: State | undefined,
  threads: number,
  { ranks, wanted, stop, onTimes }: Company,
): Promise<SharedStepper> {
  const { kernels } = compiled;
  const whole = kernels
    ? { ...compiled.model, graph: gradientGraph({ ...compiled, kernels }) }
    : compiled.model;
  const split = splitStep({ ...compiled, model: whole });
  const gradients = { ...split.gradients, graph: await useBlocks(split.gradients.graph, thread) };
  const first = await thread.open(encodeModel(gradients), { threads, optimization: 'basic' });
  const update = kernels
    ? await byKernels(thread, { ...compiled, kernels }, split.update.graph, threads)
    : await byGraph(thread, compiled, split.update, threads);
  await putState(thread, compiled, state);
  const kept = compiled.carried.map(({ input }) => input);
  const forGradients = usedBy(split.gradients.graph, compiled);
  /** Milliseconds. */
  const spent = { compute: 0, wait: 0, communicate: 0, steps: 0 };
  let lastCompute = 0;
  /** The loss, the wish to stop, and a time of each rank. */
  const head = 2 + ranks.size;
  let bucket = new Float32Array(0);

  /** Sums over the ranks: what is small in one bucket, after its head; what is large by itself. */
  const sumAll = async (loss: number, handed: readonly NdArray[]): Promise<number> => {
    const arrays = handed.map(({ data }) => data as Float32Array);
    const little = arrays.filter(({ length }) => length < small);
    const size = little.reduce((sum, { length }) => sum + length, head);
    if (bucket.length !== size) bucket = new Float32Array(size);
    bucket[0] = loss;
    bucket[1] = wanted.aborted ? 1 : 0;
    bucket.fill(0, 2, head);
    bucket[2 + ranks.rank] = lastCompute;
    let at = head;
    for (const array of little) {
      bucket.set(array, at);
      at += array.length;
    }
    const began = performance.now();
    await ranks.sum(bucket);
    const met = performance.now();
    for (const array of arrays) if (array.length >= small) await ranks.sum(array);
    spent.wait += met - began;
    spent.communicate += performance.now() - met;
    at = head;
    for (const array of little) {
      array.set(bucket.subarray(at, at + array.length));
      at += array.length;
    }
    if (bucket[1] > 0) stop();
    onTimes(bucket.subarray(2, head));
    return bucket[0];
  };

  return {
    read: (names = kept) => thread.read(names),
    async run(feeds, { first: step, share }, shareAt) {
      const began = performance.now();
      const part: NdArray = { dtype: 'float32', dims: [], data: Float32Array.of(share) };
      const { arrays, returned } = await first.runLent(
        { ...feeds, [split.share]: part },
        { use: forGradients },
      );
      const computed = performance.now();
      const given = [...split.handed].map(([input, output]) => ({ input, array: arrays[output]! }));
      const loss = await sumAll(
        (arrays[split.loss]!.data as Float32Array)[0]!,
        given.map(({ array }) => array),
      );
      const summed = performance.now();
      await update(Object.fromEntries(given.map(({ input, array }) => [input, array])), step, shareAt);
      lastCompute = computed - began + performance.now() - summed;
      spent.compute += lastCompute;
      spent.steps += 1;
      const rooms = Object.entries(returned).filter(([name]) => name !== split.share);
      return { losses: Float32Array.of(loss), returned: Object.fromEntries(rooms) };
    },
    async describe() {
      const perStep = new Float32Array(3 * ranks.size);
      const { compute, wait, communicate } = spent;
      perStep.set(
        [compute, wait, communicate].map((time) => time / Math.max(spent.steps, 1)),
        3 * ranks.rank,
      );
      await ranks.sum(perStep);
      return describeTimes(perStep, ranks.size);
    },
  };
}

/** Moves what is carried by the gradients' sums, which are the callee's to give away. */
type MoveOn = (sums: State, step: number, shareAt?: (step: number) => number) => Promise<void>;

async function byGraph(
  thread: SessionThread,
  compiled: CompiledStep,
  model: Model,
  threads: number,
): Promise<MoveOn> {
  const session = await thread.open(encodeModel(model), { threads, optimization: 'basic' });
  const read = new Set(model.graph.inputs.map(({ name }) => name));
  const use = usedBy(model.graph, compiled);
  const keep = Object.fromEntries(compiled.carried.map(({ input, output }) => [output, input]));
  return async (sums, step, shareAt) => {
    const now = compiled.scalarsAt(step, shareAt?.(step));
    const scalars = Object.entries(compiled.scalars)
      .filter(([, input]) => read.has(input))
      .map(([key, input]) => [input, { dtype: 'float32', dims: [], data: Float32Array.of(now[key]!) }]);
    const feeds = { ...sums, ...Object.fromEntries(scalars) } as State;
    await session.run(feeds, { use, keep, fetches: [], owned: true });
  };
}

async function byKernels(
  thread: SessionThread,
  compiled: WithKernels,
  graph: Graph,
  threads: number,
): Promise<MoveOn> {
  const walk = await openWalk(thread, compiled, graph, threads);
  return async (sums, step, shareAt) => {
    const one = Object.entries(sums).map(([name, array]) => [name, { ...array, dims: [1, ...array.dims] }]);
    await walk(Object.fromEntries(one) as State, { count: 1, first: step }, shareAt);
  };
}

/** What is carried that a graph reads, by its inputs. */
function usedBy({ inputs }: Graph, { carried }: CompiledStep): Record<string, string> {
  const read = new Set(inputs.map(({ name }) => name));
  const kept = carried.map(({ input }) => input).filter((name) => read.has(name));
  return Object.fromEntries(kept.map((name) => [name, name]));
}

/** @param perStep Milliseconds [ranks, 3]: compute, wait, communicate. */
function describeTimes(perStep: Float32Array, size: number): string {
  const ranks = Array.from({ length: size }, (_, rank) => perStep.subarray(3 * rank, 3 * rank + 3));
  const mean = (at: number) => ranks.reduce((sum, times) => sum + times[at]!, 0) / size;
  const slowest = ranks.reduce((most, times, rank) => (times[0]! > ranks[most]![0]! ? rank : most), 0);
  const excess = ranks[slowest]![0]! / Math.max(mean(0), 1e-9) - 1;
  const times = `compute ${format(mean(0))}, wait ${format(mean(1))}, communicate ${format(mean(2))} ms`;
  const straggler =
    excess > 0.1 ? `; rank ${slowest} computes ${Math.round(excess * 100)} % longer than the mean` : '';
  return `${size} ranks, each step: ${times}${straggler}`;
}

function format(milliseconds: number): string {
  return milliseconds.toPrecision(3);
}
