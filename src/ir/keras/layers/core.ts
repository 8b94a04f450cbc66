import { attr } from '../../graph.js';
import type { NdArray } from '../../tensor.js';
import { channelsFirst, dimsOf, plain, plainOrder, same, turned, type Handle } from '../order.js';
import { unsupportedLayer } from '../problems.js';
import { handleOf, only, ranked, vector, type Emitter, type Site } from '../site.js';
import { readLayer } from '../topology.js';
import { activate } from './activations.js';

const dense: Emitter = (site) => {
  const { g, settings } = site;
  const x = plain(g, only(site));
  const features = Number(g.shapeOf(x).at(-1));
  const units = settings.number('units');
  const kernel = site.weight('kernel', () => site.expect('kernel', [features, units]));
  const bias = settings.flag('use_bias', true)
    ? site.weight('bias', () => site.expect('bias', [units]))
    : undefined;
  if (g.rankOf(x) === 2) {
    return activate(site, handleOf(g, g.op('Gemm', [x, kernel, ...(bias === undefined ? [] : [bias])])));
  }
  const product = g.op('MatMul', [x, kernel]);
  return activate(site, handleOf(g, bias === undefined ? product : g.op('Add', [product, bias])));
};

const embedding: Emitter = (site) => {
  const { g, settings } = site;
  if (settings.flag('mask_zero', false)) throw settings.fail('mask_zero', 'maas does not import masks');
  const rows = settings.number('input_dim');
  const table = site.weight('embeddings', () =>
    site.expect('embeddings', [rows, settings.number('output_dim')]),
  );
  const ids = plain(g, only(site));
  const whole =
    g.dtypeOf(ids) === 'int32' || g.dtypeOf(ids) === 'int64' ? ids : g.op('Cast', [ids], { to: attr.int(6) });
  return handleOf(g, g.op('Gather', [table, whole]));
};

const dropout: Emitter = (site) => {
  const { g, settings } = site;
  const { value, order } = only(site);
  const rate = settings.number('rate', 0);
  return { value: rate === 0 ? value : g.op('Dropout', [value, g.scalar(rate)]), order };
};

const identity: Emitter = (site) => only(site);

const flatten: Emitter = (site) => {
  const { g, settings } = site;
  const x = only(site);
  const isFirst =
    settings.text('data_format', ['channels_last', 'channels_first'], 'channels_last') === 'channels_first';
  const { length: rank } = x.order;
  if (rank === 2) return x;
  if (!isFirst || rank < 3) return handleOf(g, g.op('Flatten', [plain(g, x)]));
  // Keras puts the channels last before it lays the elements out.
  const last = { value: x.value, order: [0, ...plainOrder(rank).slice(2), 1].map((axis) => x.order[axis]!) };
  return handleOf(g, g.op('Flatten', [plain(g, last)]));
};

const reshape: Emitter = (site) => {
  const { g, settings } = site;
  const sizes = settings.numbers('target_shape');
  return handleOf(g, g.op('Reshape', [plain(g, only(site)), g.int64s([0, ...sizes])]));
};

const permute: Emitter = (site) => {
  const { value, order } = only(site);
  const dims = site.settings.numbers('dims');
  const isWhole = same(
    dims.toSorted((a, b) => a - b),
    plainOrder(order.length).slice(1),
  );
  if (!isWhole) throw site.settings.fail('dims', `a row has ${order.length - 1} axes`);
  return { value, order: [0, ...dims].map((axis) => order[axis]!) };
};

const repeatVector: Emitter = (site) => {
  const { g, settings } = site;
  const lifted = g.op('Unsqueeze', [plain(g, ranked(site, 2)), g.int64s([1])]);
  return handleOf(g, g.op('Tile', [lifted, g.int64s([1, settings.number('n'), 1])]));
};

const batchNormalization: Emitter = (site) => {
  const { g, settings } = site;
  const x = only(site);
  const rank = x.order.length;
  const stated = settings.raw('axis');
  const axis = Array.isArray(stated) && stated.length === 1 ? Number(stated[0]) : settings.number('axis', -1);
  const at = axis < 0 ? axis + rank : axis;
  const others = plainOrder(rank).slice(2);
  const order = plainOrder(rank).map((keras) => (keras === 0 ? 0 : keras === at ? 1 : others.shift()!));
  const value = turned(g, x, rank > 2 && at === rank - 1 ? channelsFirst(rank) : order);
  const channels = Number(g.shapeOf(value)[1]);
  const part = (name: string, present: boolean, otherwise: number) =>
    site.weight(name, () =>
      present ? site.expect(name, [channels]) : vector(Array<number>(channels).fill(otherwise)),
    );
  const inputs = [
    part('gamma', settings.flag('scale', true), 1),
    part('beta', settings.flag('center', true), 0),
    part('moving_mean', true, 0),
    part('moving_variance', true, 1),
  ];
  const attributes = {
    epsilon: attr.float(settings.number('epsilon', 1e-3)),
    momentum: attr.float(settings.number('momentum', 0.99)),
  };
  return { value: g.op('BatchNormalization', [value, ...inputs], attributes), order };
};

const layerNormalization: Emitter = (site) => {
  const { g, settings } = site;
  const x = only(site);
  const rank = x.order.length;
  const stated = settings.raw('axis') ?? -1;
  const axes = (Array.isArray(stated) ? (stated as number[]) : [Number(stated)])
    .map((axis) => (axis < 0 ? axis + rank : axis))
    .sort((a, b) => a - b);
  if (!same(axes, plainOrder(rank).slice(rank - axes.length)) || axes.includes(0)) {
    throw settings.fail('axis', 'maas knows the last axes of a row only');
  }
  const value = plain(g, x);
  const sizes = g.shapeOf(value).slice(axes[0]).map(Number);
  const fill = (number: number): NdArray => ({
    dtype: 'float32',
    dims: sizes,
    data: new Float32Array(sizes.reduce((product, size) => product * size, 1)).fill(number),
  });
  const part = (name: string, key: string, otherwise: number) =>
    site.weight(name, () => (settings.flag(key, true) ? site.expect(name, sizes) : fill(otherwise)));
  const inputs = [value, part('gamma', 'scale', 1), part('beta', 'center', 0)];
  const epsilon = attr.float(settings.number('epsilon', 1e-3));
  return handleOf(g, g.op('LayerNormalization', inputs, { axis: attr.int(axes[0]! - rank), epsilon }));
};

/** Brings all inputs to one order and one rank, as TensorFlow.js does. */
function aligned({ g, inputs }: Site): { values: string[]; order: readonly number[] } {
  const [first] = inputs as [Handle];
  const rank = Math.max(...inputs.map(({ order }) => order.length));
  if (inputs.every(({ order }) => order.length === rank)) {
    const order = inputs.every((input) => same(input.order, first.order)) ? first.order : plainOrder(rank);
    return { values: inputs.map((input) => turned(g, input, order)), order };
  }
  const values = inputs.map((input) => {
    const missing = rank - input.order.length;
    const axes = Array.from({ length: missing }, (_, at) => at + 1);
    return missing === 0 ? plain(g, input) : g.op('Unsqueeze', [plain(g, input), g.int64s(axes)]);
  });
  return { values, order: plainOrder(rank) };
}

const merging =
  (emit: (site: Site, values: readonly string[]) => string): Emitter =>
  (site) => {
    if (site.inputs.length === 0) throw unsupportedLayer(site.layer, 'it reads nothing');
    const { values, order } = aligned(site);
    return { value: values.length === 1 ? values[0]! : emit(site, values), order };
  };

const pairwise = (op: string) => merging(({ g }, values) => values.reduce((a, b) => g.op(op, [a, b])));
const together = (op: string) => merging(({ g }, values) => g.op(op, values));

const concatenate: Emitter = (site) => {
  const { values, order } = aligned(site);
  const axis = order.at(site.settings.number('axis', -1));
  if (axis === undefined) throw site.settings.fail('axis');
  return {
    value: values.length === 1 ? values[0]! : site.g.op('Concat', values, { axis: attr.int(axis) }),
    order,
  };
};

/** Layers that give for each step what they would give for a row. */
const perStep = new Set([
  'Dense',
  'Activation',
  'Dropout',
  'ReLU',
  'LeakyReLU',
  'ELU',
  'ThresholdedReLU',
  'Softmax',
]);

/** Calls the inner layer on all steps at once: they become rows. */
const timeDistributed: Emitter = (site) => {
  const { g, settings, scope, layer } = site;
  const stated = readLayer(settings.raw('layer'), `the layer in ${layer.name}`);
  // Its variables bear the name of the wrapper.
  const inner = { ...stated, name: layer.name };
  if (perStep.has(inner.className)) return site.inner(inner, [only(site)], scope);
  const x = plain(g, only(site));
  const [, ...sizes] = g.shapeOf(x).map(Number);
  const reshaped = (value: string, dims: readonly number[]): Handle => {
    if (dims.some(Number.isNaN)) throw unsupportedLayer(layer, 'it reads values whose sizes are not fixed');
    return handleOf(g, g.op('Reshape', [value, g.int64s([-1, ...dims])]));
  };
  const given = site.inner(inner, [reshaped(x, sizes.slice(1))], scope);
  return given.map((handle) =>
    reshaped(plain(g, handle), [sizes[0]!, ...dimsOf(g, handle).slice(1).map(Number)]),
  );
};

export const core: Readonly<Record<string, Emitter>> = {
  Dense: dense,
  Embedding: embedding,
  Dropout: dropout,
  // They do nothing to a trained model.
  SpatialDropout1D: identity,
  SpatialDropout2D: identity,
  SpatialDropout3D: identity,
  GaussianDropout: identity,
  GaussianNoise: identity,
  AlphaDropout: identity,
  ActivityRegularization: identity,
  Flatten: flatten,
  Reshape: reshape,
  Permute: permute,
  RepeatVector: repeatVector,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  Add: pairwise('Add'),
  Subtract: pairwise('Sub'),
  Multiply: pairwise('Mul'),
  Average: together('Mean'),
  Maximum: together('Max'),
  Minimum: together('Min'),
  Concatenate: concatenate,
  TimeDistributed: timeDistributed,
};
