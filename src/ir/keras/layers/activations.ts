import { attr } from '../../graph.js';
import type { Handle } from '../order.js';
import { constant, only, type Emitter, type Site } from '../site.js';

type Function = (site: Pick<Site, 'g'>, x: Handle, axis: number) => string;

const simple =
  (op: string, floats: Readonly<Record<string, number>> = {}): Function =>
  ({ g }, { value }) =>
    g.op(
      op,
      [value],
      Object.fromEntries(Object.entries(floats).map(([name, number]) => [name, attr.float(number)])),
    );

/** Over one axis of Keras. */
const along =
  (op: string): Function =>
  ({ g }, { value, order }, axis) =>
    g.op(op, [value], { axis: attr.int(order.at(axis)!) });

const swish: Function = ({ g }, { value }) => g.op('Mul', [value, g.op('Sigmoid', [value])]);
const gelu =
  (approximate: string): Function =>
  ({ g }, { value }) =>
    g.op('Gelu', [value], { approximate: attr.string(approximate) });

/** By the names and with the constants of TensorFlow.js; those that it lacks as in Keras 2. */
const functions: Readonly<Record<string, Function>> = {
  linear: (_site, { value }) => value,
  relu: simple('Relu'),
  relu6: ({ g }, { value }) => g.op('Clip', [value, g.scalar(0), g.scalar(6)]),
  elu: simple('Elu'),
  selu: simple('Selu'),
  sigmoid: simple('Sigmoid'),
  hard_sigmoid: simple('HardSigmoid', { alpha: 0.2, beta: 0.5 }),
  hard_swish: simple('HardSwish'),
  hard_silu: simple('HardSwish'),
  softplus: simple('Softplus'),
  softsign: simple('Softsign'),
  tanh: simple('Tanh'),
  exponential: simple('Exp'),
  mish: simple('Mish'),
  swish,
  silu: swish,
  gelu: gelu('none'),
  gelu_new: gelu('tanh'),
  softmax: along('Softmax'),
  log_softmax: along('LogSoftmax'),
};

/** Applies the function that a layer's `activation` names. @throws MaasError MAAS_MODEL_UNSUPPORTED */
export function activate(site: Site, x: Handle, key = 'activation'): Handle {
  const name = site.settings.raw(key) ?? 'linear';
  const found = typeof name === 'string' && Object.hasOwn(functions, name) ? functions[name] : undefined;
  if (!found) throw site.settings.fail(key, `maas knows ${Object.keys(functions).join(', ')}`);
  return { value: found(site, x, -1), order: x.order };
}

const activation: Emitter = (site) => activate(site, only(site));

/** A layer that is one operator with a number, under one of the names that it has had. */
const withNumber =
  (op: string, keys: readonly string[], otherwise: number): Emitter =>
  (site) => {
    const { value, order } = only(site);
    const key = keys.find((each) => site.settings.raw(each) !== undefined) ?? keys[0]!;
    return {
      value: site.g.op(op, [value], { alpha: attr.float(site.settings.number(key, otherwise)) }),
      order,
    };
  };

const reLU: Emitter = (site) => {
  const { g, settings } = site;
  const { value, order } = only(site);
  if (settings.number('threshold', 0) !== 0)
    throw settings.fail('threshold', 'maas knows no threshold but 0');
  const slope = settings.number('negative_slope', 0);
  const bent = slope === 0 ? g.op('Relu', [value]) : g.op('LeakyRelu', [value], { alpha: attr.float(slope) });
  const most = settings.raw('max_value') === undefined ? undefined : settings.number('max_value');
  return { value: most === undefined ? bent : g.op('Min', [bent, g.scalar(most)]), order };
};

/** Slopes for the elements of a row; those along shared axes are one. */
const prelu: Emitter = (site) => {
  const { g, settings } = site;
  const { value, order } = only(site);
  const shared = settings.raw('shared_axes') === undefined ? [] : settings.numbers('shared_axes');
  const shape = g.shapeOf(value);
  const dims = order.slice(1).map((axis, at) => (shared.includes(at + 1) ? 1 : Number(shape[axis])));
  const alpha = site.weight('alpha', () => site.expect('alpha', dims));
  // Axis i of a row is axis order[i + 1] of the value.
  const perm = Array<number>(dims.length);
  order.slice(1).forEach((axis, at) => (perm[axis - 1] = at));
  const isTurned = perm.some((axis, at) => axis !== at);
  const slope = isTurned ? g.op('Transpose', [alpha], { perm: attr.ints(perm) }) : alpha;
  return { value: g.op('PRelu', [value, slope]), order };
};

const softmax: Emitter = (site) => {
  const x = only(site);
  return { value: along('Softmax')(site, x, site.settings.number('axis', -1)), order: x.order };
};

const rescaling: Emitter = (site) => {
  const { g, settings } = site;
  const { value, order } = only(site);
  const scaled = g.op('Mul', [value, g.scalar(settings.number('scale'))]);
  const offset = settings.number('offset', 0);
  return { value: offset === 0 ? scaled : g.op('Add', [scaled, constant(g, [offset], [])]), order };
};

export const activations: Readonly<Record<string, Emitter>> = {
  Activation: activation,
  ReLU: reLU,
  LeakyReLU: withNumber('LeakyRelu', ['alpha', 'negative_slope'], 0.3),
  ELU: withNumber('Elu', ['alpha'], 1),
  ThresholdedReLU: withNumber('ThresholdedRelu', ['theta'], 1),
  PReLU: prelu,
  Softmax: softmax,
  Rescaling: rescaling,
};
