import { z } from 'zod';
import { attr, type Attributes } from '../../../ir/graph.js';
import { initializerNames, type InitializerName } from './initializers.js';
import type { Layer, Site } from './layer.js';
import { expectRank, swapLeading } from './shapes.js';

const activation = (initial: 'tanh' | 'sigmoid', description: string) =>
  z.enum(['tanh', 'sigmoid', 'relu']).default(initial).describe(description);

const common = {
  units: z.int().min(1).describe('Outputs of a step, which the next step gets too.'),
  activation: activation('tanh', 'Function of the outputs.'),
  useBias: z.boolean().default(true).describe('Whether each gate has an offset of its own.'),
  returnSequences: z
    .boolean()
    .default(false)
    .describe('Whether the outputs of all steps are given, [steps, units], or those of the last alone.'),
  goBackwards: z
    .boolean()
    .default(false)
    .describe('Whether the last step is read first; what is given is in the order of reading.'),
  kernelInitializer: z
    .enum(initializerNames)
    .default('glorotUniform')
    .describe('First weights of the inputs.'),
  recurrentInitializer: z
    .enum(initializerNames)
    .default('orthogonal')
    .describe('First weights of the outputs of the step before.'),
};

const gates = { recurrentActivation: activation('sigmoid', 'Function of the gates.') };

const lstmOptions = z.strictObject({
  ...common,
  ...gates,
  unitForgetBias: z
    .boolean()
    .default(true)
    .describe('Whether the offsets of the forget gate begin with 1, so that what is remembered stays.'),
});

const gruOptions = z.strictObject({
  ...common,
  ...gates,
  resetAfter: z
    .boolean()
    .default(true)
    .describe('Whether the reset gate comes after the product with the outputs before, or before it.'),
});

const simpleRnnOptions = z.strictObject(common);

type Common = z.output<typeof simpleRnnOptions>;

/** A recurrent operator of ONNX: its weights have a row for each gate and unit. */
interface Cell {
  readonly op: 'LSTM' | 'GRU' | 'RNN';
  readonly gates: number;
  readonly activations: readonly string[];
  readonly attributes?: Attributes;
  /** The gate whose offsets begin with 1. */
  readonly ones?: number;
  /** Whether the products with the outputs before have offsets of their own. */
  readonly recurrentBias?: boolean;
}

export type Direction = 'forward' | 'reverse';

/** A layer that reads a sequence step by step, and can read it from either end. */
export interface RecurrentLayer<Options extends Common = never> extends Layer<Options> {
  /**
   * Emits one reading.
   * @param weightPrefix Of the names of its weights.
   * @returns [N, steps, units] in the order of the sequence, or after the last step that is read [N, units].
   */
  read(site: Site, x: string, options: Options, direction: Direction, weightPrefix?: string): string;
}

function recurrent<Options extends Common>(
  summary: string,
  options: z.ZodType<Options>,
  cellOf: (options: Options) => Cell,
): RecurrentLayer<Options> {
  const read: RecurrentLayer<Options>['read'] = (site, x, given, direction, prefix = '') =>
    emitCell(site, x, given, cellOf(given), direction, prefix);
  return {
    summary,
    options,
    read,
    emit(site, x, given) {
      const y = read(site, x, given, given.goBackwards ? 'reverse' : 'forward');
      return given.goBackwards && given.returnSequences ? flipSteps(site, y) : y;
    },
  };
}

function emitCell(
  site: Site,
  x: string,
  { units, useBias, returnSequences, kernelInitializer, recurrentInitializer }: Common,
  { op, gates, activations, attributes, ones, recurrentBias }: Cell,
  direction: Direction,
  prefix: string,
): string {
  const { g } = site;
  const [, features] = expectRank(site, x, 2) as [number, number];
  const size = gates * units;
  const part = (name: string): string =>
    prefix === '' ? name : prefix + name[0]!.toUpperCase() + name.slice(1);
  const weight = (name: string, inputs: number, initializer: InitializerName): string =>
    site.weight(part(name), [1, size, inputs], initializer, { in: inputs, out: size });
  const bias = (): string => {
    const fans = { in: size, out: size };
    if (recurrentBias) return site.weight(part('bias'), [1, 2 * size], 'zeros', fans);
    const first = (at: number): number => (Math.floor(at / units) === ones ? 1 : 0);
    const own = site.weight(part('bias'), [1, size], first, fans);
    const none = site.statistic(part('recurrentBias'), [1, size], 0);
    return g.op('Concat', [own, none], { axis: attr.int(1) });
  };
  const inputs = [
    swapLeading(g, x),
    weight('kernel', features, kernelInitializer),
    weight('recurrentKernel', units, recurrentInitializer),
    ...(useBias ? [bias()] : []),
  ];
  const all = {
    hidden_size: attr.int(units),
    direction: attr.string(direction),
    activations: attr.strings(activations),
    ...attributes,
  };
  // Y [steps, 1, N, units], then the last outputs [1, N, units].
  const name = prefix === '' ? site.name : `${site.name}/${prefix}`;
  const [steps, last] = g.ops(op, inputs, all, { name, outputs: returnSequences ? 1 : 2 });
  return returnSequences
    ? swapLeading(g, g.op('Squeeze', [steps!, g.int64s([1])]))
    : g.op('Squeeze', [last!, g.int64s([0])]);
}

/** The steps of [N, steps, …] from the last to the first. */
function flipSteps({ g }: Site, x: string): string {
  return g.op('Slice', [x, g.int64s([-1]), g.int64s([-(2 ** 31)]), g.int64s([1]), g.int64s([-1])]);
}

const operators = { tanh: 'Tanh', sigmoid: 'Sigmoid', relu: 'Relu' } as const;

/** Hochreiter and Schmidhuber 1997, with the forget gate of Gers and others 2000; gates input, output, forget, cell. */
export const lstm = recurrent(
  'reads step by step, with a memory that gates guard',
  lstmOptions,
  (options) => {
    const [gate, state] = [operators[options.recurrentActivation], operators[options.activation]];
    const ones = options.unitForgetBias ? { ones: 2 } : {};
    return { op: 'LSTM', gates: 4, activations: [gate, state, state], ...ones };
  },
);

/** Cho and others, arXiv:1406.1078; gates update, reset, hidden. */
export const gru = recurrent('reads step by step, with two gates', gruOptions, (options) => ({
  op: 'GRU',
  gates: 3,
  activations: [operators[options.recurrentActivation], operators[options.activation]],
  attributes: { linear_before_reset: attr.int(options.resetAfter ? 1 : 0) },
  recurrentBias: options.resetAfter,
}));

/** Elman 1990. */
export const simpleRnn = recurrent('reads step by step, without gates', simpleRnnOptions, (options) => ({
  op: 'RNN',
  gates: 1,
  activations: [operators[options.activation]],
}));
