import { GraphBuilder } from '../../../../ir/builder.js';
import { compileKernel, type Kernel } from '../../../../ir/kernel.js';
import type { Rule } from './compile-step.js';
import { averageName, emitAverage } from './average.js';
import { optionsFor } from './update.js';

/** The update of one weight, outside of the graph. */
export interface UpdateKernel {
  readonly kernel: Kernel;
  /** The scalars of the step, in the kernel's order. */
  readonly scalars: readonly string[];
  readonly dims: readonly number[];
  readonly gradient: string;
  /** What the kernel goes over, in its order: the gradient, and what is carried under these names. */
  readonly names: readonly string[];
}

/**
 * Compiles the updates of weights; undefined when an optimizer has an operator that kernels have not.
 * @param gradients By weight.
 */
export function compileUpdates(
  g: GraphBuilder,
  gradients: ReadonlyMap<string, string>,
  rule: Rule,
): readonly UpdateKernel[] | undefined {
  const made = new Set(g.nodes.flatMap(({ outputs }) => outputs));
  // Each gradient is an output of its own: equal ones may be one value.
  const own = (gradient: string): string => (made.delete(gradient) ? gradient : g.op('Identity', [gradient]));
  const found = [...gradients].map(([weight, gradient]) => compileUpdate(g, weight, own(gradient), rule));
  return found.every((kernel) => kernel !== undefined) ? found : undefined;
}

/** Emits the update once more, as a graph of its own whose inputs are named by what they are. */
function compileUpdate(
  g: GraphBuilder,
  weight: string,
  gradient: string,
  rule: Rule,
): UpdateKernel | undefined {
  const { optimizer, scalars, averages } = rule;
  const options = optionsFor(rule, weight);
  const dims = g.shapeOf(weight).map(Number);
  const b = new GraphBuilder('update');
  // Weights of rank 0 too have an element each.
  const input = (name: string): string => b.input(name, 'float32', dims.length === 0 ? [1] : dims);
  const slots = Object.keys(optimizer.slots(options));
  const update = {
    parameter: input('weight'),
    gradient: input('gradient'),
    slots: Object.fromEntries(slots.map((slot) => [slot, input(`slot.${slot}`)])),
    scalars: Object.fromEntries(Object.keys(scalars).map((key) => [key, b.input(key, 'float32', [])])),
  };
  const next = optimizer.emit(b, update, options);
  const written = new Map([
    ['weight', next.parameter],
    ...slots.map((slot) => [`slot.${slot}`, next.slots[slot]!] as const),
  ]);
  if (averages) {
    written.set('average', emitAverage(b, input('average'), next.parameter, update.scalars));
  }
  for (const name of written.values()) b.output(name);
  const kernel = compileKernel(b.build(), [...written.keys()]);
  if (!kernel) return undefined;
  const named: Readonly<Record<string, string>> = {
    weight,
    gradient,
    average: averageName(weight),
    ...Object.fromEntries(slots.map((slot) => [`slot.${slot}`, `${weight}.${slot}`])),
  };
  return {
    kernel,
    scalars: kernel.scalars,
    dims,
    gradient,
    names: kernel.tensors.map((name) => named[name]!),
  };
}
