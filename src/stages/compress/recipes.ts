import type { Named } from '../../config/named.js';
import type { Model } from '../../ir/graph.js';
import { sizeOf } from '../../ir/tensor.js';
import type { Pass } from '../../plugin/api.js';

/** What most of a model's work is: it decides which integers make it faster. */
export type ModelKind = 'convolutional' | 'dense';

/** Convolutions run each weight many times over: a tenth of the weights is most of the work. */
const leastShare = 0.1;

export function kindOf({ graph }: Model): ModelKind {
  let [all, convolved] = [0, 0];
  for (const { op, inputs } of graph.nodes) {
    const dims = graph.initializers.get(inputs[1] ?? '')?.dims;
    if (!dims || !['Conv', 'Gemm', 'MatMul'].includes(op)) continue;
    all += sizeOf(dims);
    if (op === 'Conv' && dims.length === 4) convolved += sizeOf(dims);
  }
  return convolved > leastShare * all ? 'convolutional' : 'dense';
}

/** A pass and how it is set up, as one would write it in the config. */
type Step = readonly [pass: string, options: object];

/** What is known to pay for this kind of model. Without data nothing can be calibrated. */
export function defaultRecipe(kind: ModelKind, hasData: boolean): readonly Step[] {
  if (hasData)
    return [
      ['fold', {}],
      ['quantize', { mode: 'static' }],
    ];
  return [
    ['fold', {}],
    ['quantize', { mode: kind === 'dense' ? 'dynamic' : 'weights', bits: 8, block: 128 }],
  ];
}

/** The steps with their options filled in. */
export function readRecipe(steps: readonly Step[], passes: ReadonlyMap<string, Pass>): Named[] {
  return steps.map(([name, options]) => ({ name, options: passes.get(name)!.options.parse(options) }));
}
