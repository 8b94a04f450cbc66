import { readsOf, type Graph } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { allocate, sizeOf, type NdArray } from '../../../../ir/tensor.js';
import { haltBeforeOutputs } from '../../../../runtime/session.js';
import { bankLimit, planeBytes, type BankPlan } from '../../../../runtime/thread/bank.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';
import { useBlocks } from './block-convolutions.js';
import type { Carried, CompiledStep } from './compile-step.js';
import type { Stepper } from './stepper.js';
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
  const { model, carried, kernels, loss, scalars } = compiled;
  const others = carriedApart(compiled);
  const gradients = await useBlocks(gradientGraph(compiled), thread);
  const outputs = gradients.outputs.map(({ name }) => name);
  const graph = haltBeforeOutputs(gradients);
  const session = await thread.open(encodeModel({ ...model, graph }), { threads, optimization: 'basic' });
  await thread.arrange(planBanks(kernels));
  for (const { output, dims } of [{ output: loss, dims: [] }, ...others]) {
    // Made anew: where an output is written must be nobody else's.
    await thread.put({ [output]: zeros(dims) }, true);
  }
  const kept = carried.map(({ input }) => input);
  const read = new Set(graph.inputs.map(({ name }) => name));
  const use = Object.fromEntries(kept.filter((name) => read.has(name)).map((name) => [name, name]));
  const move = Object.fromEntries(others.map(({ input, output }) => [output, input]));
  const keys = Object.keys(scalars);
  return {
    read: (names = kept) => thread.read(names),
    async run(feeds, { count, first }, shareAt) {
      const each = Array.from({ length: count }, (_, at) => {
        const now = compiled.scalarsAt(first + at, shareAt?.(first + at));
        return keys.map((key) => now[key]!);
      });
      const walk = { count, use, into: outputs, move, tell: loss, scalars: each };
      const { arrays, returned } = await session.walk(feeds, walk);
      return { losses: arrays[loss]!.data as Float32Array, returned };
    },
  };
}

type WithKernels = CompiledStep & { readonly kernels: readonly UpdateKernel[] };

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
