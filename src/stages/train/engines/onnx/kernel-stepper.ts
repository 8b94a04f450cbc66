import { readsOf, type Graph } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { allocate, sizeOf, type NdArray } from '../../../../ir/tensor.js';
import { haltBeforeOutputs } from '../../../../runtime/session.js';
import { bankLimit, planeBytes, type BankPlan } from '../../../../runtime/thread/bank.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';
import { useBlocks } from './block-convolutions.js';
import type { Carried, CompiledStep } from './compile-step.js';
import type { State, Stepper } from './stepper.js';
import type { UpdateKernel } from './update-kernels.js';

/**
 * Opens a compiled step whose updates are kernels: the graph ends with the gradients. A kernel goes over the weights once
 * where the operators of an update do so once each, and nothing is copied: onnxruntime reads the weights, and writes the
 * gradients, where the kernels have them. The bits are those of the whole graph.
 */
export async function openKernelStepper(
  thread: SessionThread,
  compiled: WithKernels,
  threads: number,
): Promise<Stepper> {
  const graph = await useBlocks(gradientGraph(compiled), thread);
  const walk = await openWalk(thread, compiled, graph, threads);
  return {
    read: (names = compiled.carried.map(({ input }) => input)) => thread.read(names),
    async run(feeds, steps, shareAt) {
      const { told, returned } = await walk(feeds, steps, shareAt);
      return { losses: told, returned };
    },
  };
}

/**
 * Runs a graph that ends with gradients for each part of the feeds, [steps, …], and updates the weights after each.
 * @returns Of each run the first number of the graph's first output.
 */
export type RunAndUpdate = (
  feeds: State,
  steps: { readonly count: number; readonly first: number },
  shareAt?: (step: number) => number,
) => Promise<{ readonly told: Float32Array; readonly returned: State }>;

/** @param graph Its outputs are gradients for kernels, what else is carried, and perhaps the loss. */
export async function openWalk(
  thread: SessionThread,
  compiled: WithKernels,
  graph: Graph,
  threads: number,
): Promise<RunAndUpdate> {
  const { model, carried, kernels, loss, scalars } = compiled;
  const into = graph.outputs.map(({ name }) => name);
  const tell = into[0]!;
  const bytes = encodeModel({ ...model, graph: haltBeforeOutputs(graph) });
  const session = await thread.open(bytes, { threads, optimization: 'basic' });
  await thread.arrange(planBanks(kernels));
  const others = carriedApart(compiled);
  for (const { output, dims } of [{ output: loss, dims: [] }, ...others]) {
    // Made anew: where an output is written must be nobody else's.
    if (into.includes(output)) await thread.put({ [output]: zeros(dims) }, true);
  }
  const read = new Set(graph.inputs.map(({ name }) => name));
  const kept = carried.map(({ input }) => input).filter((name) => read.has(name));
  const use = Object.fromEntries(kept.map((name) => [name, name]));
  const move = Object.fromEntries(others.map(({ input, output }) => [output, input]));
  const keys = Object.keys(scalars);
  return async (feeds, { count, first }, shareAt) => {
    const each = Array.from({ length: count }, (_, at) => {
      const now = compiled.scalarsAt(first + at, shareAt?.(first + at));
      return keys.map((key) => now[key]!);
    });
    const { arrays, returned } = await session.walk(feeds, { count, use, into, move, tell, scalars: each });
    return { told: arrays[tell]!.data as Float32Array, returned };
  };
}

export type WithKernels = CompiledStep & { readonly kernels: readonly UpdateKernel[] };

/** What is carried but not by kernels: running statistics, and weights that do not move the loss. */
function carriedApart({ carried, kernels }: WithKernels): Carried[] {
  const updated = new Set(kernels.flatMap(({ names }) => names));
  return carried.filter(({ input }) => !updated.has(input));
}

/** The part of a step that leads to the loss, the gradients, and what else is carried: its outputs, in this order. */
export function gradientGraph(compiled: WithKernels): Graph {
  const { loss, kernels, model } = compiled;
  const { graph } = model;
  const others = carriedApart(compiled).map(({ output }) => output);
  const outputs = [loss, ...kernels.map(({ gradient }) => gradient), ...others];
  const known = new Map([...graph.values.values(), ...graph.outputs].map((value) => [value.name, value]));
  const cut = removeDead({ ...graph, outputs: outputs.map((name) => known.get(name) ?? { name }) });
  const read = new Set(cut.nodes.flatMap(readsOf));
  return { ...cut, inputs: cut.inputs.filter(({ name }) => read.has(name)) };
}

/** Weights with the same kernel share a bank, as far as its memory goes. */
export function planBanks(kernels: readonly UpdateKernel[], limit = bankLimit): BankPlan[] {
  const banks: { kernel: UpdateKernel['kernel']; members: UpdateKernel[]; code: string }[] = [];
  for (const each of kernels) {
    const { kernel } = each;
    const code = Buffer.from(kernel.code).toString('latin1');
    const fits = (members: readonly UpdateKernel[]) => planeBytes(members) * kernel.tensors.length <= limit;
    const bank = banks.find((other) => other.code === code && fits([...other.members, each]));
    if (bank) bank.members.push(each);
    else banks.push({ kernel, members: [each], code });
  }
  return banks.map(({ kernel, members }) => ({ kernel, members }));
}

function zeros(dims: readonly number[]): NdArray {
  return { dtype: 'float32', dims, data: allocate('float32', sizeOf(dims)) };
}
