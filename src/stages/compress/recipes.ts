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

export interface Recipe {
  readonly name: string;
  readonly steps: readonly Step[];
}

const clean: readonly Step[] = [
  ['simplify', {}],
  ['fold', {}],
];

/** Layers that the step before it had to leave, because they lose too much in fewer bits. */
const inBytes: Step = ['quantize', { mode: 'weights', bits: 8, block: 128 }];

/**
 * What may pay for this kind of model, most promising first after the model cleaned up. Dynamic ranges let a row depend
 * on those beside it: only where there is no data to find fixed ones.
 */
export function candidateRecipes(
  kind: ModelKind,
  hasData: boolean,
  goal: 'latency' | 'size',
): readonly Recipe[] {
  // Fewer bytes of what is left cost no time, but that of loading.
  const last: readonly Step[] = [
    ['storeBytes', {}],
    ...(goal === 'size' ? [['storeHalves', {}] as const] : []),
  ];
  const recipe = (name: string, options: object, before: readonly Step[] = []): Recipe => ({
    name,
    steps: [...clean, ...before, ['quantize', options], inBytes, ['quantizeEmbeddings', {}], ...last],
  });
  // A float32 convolution among integers costs more than the few weights of a small one: images are rounded and turned round for it.
  const throughout =
    kind === 'convolutional'
      ? [recipe('int8 throughout, calibrated', { mode: 'static', minElements: 1 })]
      : [];
  const integers = hasData
    ? [...throughout, recipe('int8, calibrated', { mode: 'static' })]
    : kind === 'dense'
      ? [recipe('int8, dynamic', { mode: 'dynamic' })]
      : [];
  // Worth its time where outliers of activations are what integers lose.
  const smoothed =
    hasData && kind === 'dense'
      ? [recipe('int8, smoothed and calibrated', { mode: 'static' }, [['smoothQuant', {}]])]
      : [];
  const algorithm = hasData ? 'gptq' : 'hqq';
  const fourBits = (block: number): Recipe =>
    recipe(`4-bit weights in blocks of ${block}`, { mode: 'weights', bits: 4, block, algorithm });
  const weights = [
    // As fast as before, where whole sequences would take longer with integers.
    ...(goal === 'size' && kind === 'dense'
      ? [
          recipe('4-bit weights in blocks of 128, unpacked when loaded', {
            ...{ mode: 'weights', bits: 4, block: 128, algorithm, unpack: 'load' },
          }),
        ]
      : []),
    fourBits(32),
    ...(kind === 'dense' ? [fourBits(128)] : []),
    recipe('8-bit weights', { mode: 'weights', bits: 8, block: 128 }),
  ];
  const rest =
    goal === 'latency' || kind === 'convolutional'
      ? [...integers, ...smoothed, ...weights]
      : [...weights, ...integers, ...smoothed];
  const halves: Recipe = { name: 'float16 storage', steps: [...clean, ['storeHalves', {}]] };
  return [{ name: 'unchanged', steps: [] }, { name: 'cleaned up', steps: clean }, ...rest, halves];
}

/** The steps with their options filled in. */
export function readRecipe(steps: readonly Step[], passes: ReadonlyMap<string, Pass>): Named[] {
  return steps.map(([name, options]) => ({ name, options: passes.get(name)!.options.parse(options) }));
}
