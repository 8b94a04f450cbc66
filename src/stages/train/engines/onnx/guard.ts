import { GraphBuilder } from '../../../../ir/builder.js';
import { attr } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';
import type { CompiledStep } from './compile-step.js';

/** Finds a weight, kept in the thread, that has an element which is no number. */
export type Guard = () => Promise<string | undefined>;

/** The last update of an epoch shows in no loss, so the weights are looked at themselves: a sum is finite if its terms are. */
export async function openGuard(
  thread: SessionThread,
  { model, carried, parameters }: CompiledStep,
): Promise<Guard> {
  const g = new GraphBuilder('guard');
  const dims = new Map(carried.map((weight) => [weight.input, weight.dims]));
  for (const name of parameters) g.input(name, 'float32', dims.get(name));
  const sums = parameters.map((name) => {
    const sum = g.op('ReduceSum', [name], { keepdims: attr.int(0) });
    return g.op('Reshape', [sum, g.int64s([1])]);
  });
  const all = g.op('Concat', sums, { axis: attr.int(0) });
  g.output(all);
  const session = await thread.open(encodeModel({ ...model, graph: g.build() }), { optimization: 'basic' });
  const use = Object.fromEntries(parameters.map((name) => [name, name]));
  return async () => {
    const found = await session.run({}, { use });
    const at = [...(found[all]!.data as Float32Array)].findIndex((sum) => !Number.isFinite(sum));
    return at < 0 ? undefined : parameters[at];
  };
}
