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
  /** Worth trying only where one of these recipes has kept the quality that it must, or where none of them has. */
  readonly where?: { readonly recipes: readonly string[]; readonly held: boolean };
}

/** What passes have to work with. */
export interface Means {
  /** Rows to look at. */
  readonly hasData: boolean;
  /** Rows with answers to train on. */
  readonly canTrain: boolean;
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
  { hasData, canTrain }: Means,
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
  const smallest: object =
    goal === 'size' && kind === 'dense'
      ? { mode: 'weights', bits: 4, block: 32, algorithm }
      : { mode: 'static', ...(kind === 'convolutional' && { minElements: 1 }) };
  const fewer = hasData
    ? fewerUnits(canTrain).flatMap((lean): Recipe[] => [
        { ...lean, steps: [...clean, ...lean.steps, ...last] },
        {
          ...recipe(
            `${lean.name}, ${goal === 'size' && kind === 'dense' ? '4-bit' : 'int8'}`,
            smallest,
            lean.steps,
          ),
          where: { recipes: [lean.name], held: true },
        },
      ])
    : [];
  const rest =
    kind === 'convolutional'
      ? [...integers, ...fewer, ...weights]
      : goal === 'latency'
        ? [...integers, ...smoothed, ...weights, ...fewer]
        : [...weights, ...integers, ...smoothed, ...fewer];
  const halves: Recipe = { name: 'float16 storage', steps: [...clean, ['storeHalves', {}]] };
  return [{ name: 'unchanged', steps: [] }, { name: 'cleaned up', steps: clean }, ...rest, halves];
}

/** How many units are left, most first: fewer are tried only where more are enough. */
const shares = { half: 0.5, 'a quarter': 0.25, 'an eighth': 0.125 };

/** Fewer neurons, channels and heads, which is less work in whatever numbers; trained on where repair is not enough. */
function fewerUnits(canTrain: boolean): Recipe[] {
  let before: string[] | undefined;
  return Object.entries(shares).flatMap(([share, left]) => {
    const plain = `${share} of the units`;
    const enough = before && { recipes: before, held: true };
    const cut = { ratio: 1 - left };
    const fitted: Recipe = {
      name: `${plain}, trained on`,
      steps: [['pruneUnits', { ...cut, fineTune: { epochs: 3, learningRate: 5e-4 } }]],
      where: { recipes: [plain], held: false },
    };
    before = [plain, ...(canTrain ? [fitted.name] : [])];
    return [
      { name: plain, steps: [['pruneUnits', cut] as const], ...(enough && { where: enough }) },
      ...(canTrain ? [fitted] : []),
    ];
  });
}

/** The steps with their options filled in. */
export function readRecipe(steps: readonly Step[], passes: ReadonlyMap<string, Pass>): Named[] {
  return steps.map(([name, options]) => ({ name, options: passes.get(name)!.options.parse(options) }));
}
