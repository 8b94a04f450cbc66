import { attr, numberAttribute, type Dim, type Node } from '../graph.js';
import { fromFront, productOf } from '../shapes/rule.js';
import {
  cast,
  otherAxes,
  reshapeLike,
  size,
  type GradientRule,
  type GradientRules,
  type GradientSite,
} from './rule.js';

const nodeOf = (site: GradientSite, name: string | undefined): Node | undefined =>
  site.g.nodes.find((node) => node.outputs.includes(name ?? ''));

/** x − mean of a BatchNormalization whose mean and variance are those of its own input, else undefined. */
function centredByBatch(site: GradientSite): string | undefined {
  const [x, , , mean, variance] = site.x;
  const squares = nodeOf(site, nodeOf(site, variance)?.inputs[0]);
  const product = nodeOf(site, squares?.inputs[0]);
  const centred = nodeOf(site, product?.inputs[0]);
  const kept = nodeOf(site, mean)?.inputs[0];
  const total = nodeOf(site, nodeOf(site, kept)?.inputs[0]);
  const fits =
    squares?.op === 'ReduceSum' &&
    product?.op === 'Mul' &&
    product.inputs[1] === product.inputs[0] &&
    centred?.op === 'Sub' &&
    centred.inputs[0] === x &&
    centred.inputs[1] === kept &&
    total?.op === 'ReduceSum' &&
    total.inputs[0] === x;
  return fits ? centred.outputs[0] : undefined;
}

/** A value per channel, [C], so that it broadcasts against the first input. */
function perChannel(site: GradientSite, value: string): string {
  const rest = site.dims(0).length - 2;
  if (rest <= 0) return value;
  return site.g.op('Unsqueeze', [value, site.g.int64s(Array.from({ length: rest }, (_, axis) => axis + 1))]);
}

const batchNormalization: GradientRule = (site) => {
  const { g, dy, x } = site;
  const axes = otherAxes(site.dims(0).length);
  const byBatch = centredByBatch(site);
  const once = <T>(emit: () => T): (() => T) => {
    let value: T | undefined;
    return () => (value ??= emit());
  };
  // 1/√(σ² + ε), [C]
  const rate = once(() => {
    const epsilon = site.number(numberAttribute(site.node, 'epsilon', 1e-5));
    return g.op('Reciprocal', [g.op('Sqrt', [site.add(x[4]!, epsilon)])]);
  });
  const scale = once(() => site.mul(x[1]!, rate()));
  const centred = () => byBatch ?? site.sub(x[0]!, perChannel(site, x[3]!));
  const total = once(() => site.sum(dy, axes, false));
  const moment = once(() => site.sum(site.mul(dy, centred()), axes, false));
  const direct = () => site.mul(dy, perChannel(site, scale()));

  /** a·dY + (b·(x − μ) + c): mean and variance move with x, and take their share here. */
  const throughBatch = () => {
    const count = site.div(size(g, x[0]!), size(g, x[3]!));
    const share = site.neg(site.div(scale(), count));
    const factor = site.mul(share, site.mul(site.mul(rate(), rate()), moment()));
    const zero = site.mul(x[3]!, site.number(0));
    const one = site.add(zero, site.number(1));
    const statistics = [factor, site.mul(share, total()), zero, one];
    return site.add(
      direct(),
      g.op('BatchNormalization', [byBatch!, ...statistics], { epsilon: attr.float(0) }),
    );
  };
  const scaleAndBias = [() => site.mul(moment(), rate()), () => total()];
  if (byBatch) return [throughBatch, ...scaleAndBias];
  return [
    direct,
    ...scaleAndBias,
    () => site.neg(site.mul(scale(), total())),
    () => {
      const cubed = site.mul(scale(), site.mul(rate(), rate()));
      return site.mul(site.mul(site.number(-0.5), cubed), moment());
    },
  ];
};

/** What was normalized to mean 0 (if `centred`) and variance 1 over `axes`, and the rate by which. */
interface Normalized {
  readonly hat: string;
  readonly rate: string;
  readonly axes: readonly number[];
  readonly centred: boolean;
}

function mean(site: GradientSite, value: string, axes: readonly number[]): string {
  const { g } = site;
  const known = productOf(axes.map((axis) => g.shapeOf(value)[axis]!));
  const total = site.sum(value, axes);
  if (known !== undefined) return site.mul(total, site.number(1 / known));
  return site.div(
    total,
    cast(g, g.op('Div', [g.op('Size', [value]), g.op('Size', [total])]), g.dtypeOf(total)),
  );
}

function normalize(site: GradientSite, value: string, axes: readonly number[], centred: boolean): Normalized {
  const { g } = site;
  const from = centred ? site.sub(value, mean(site, value, axes)) : value;
  const epsilon = site.number(numberAttribute(site.node, 'epsilon', 1e-5));
  const power = site.add(mean(site, site.mul(from, from), axes), epsilon);
  const rate = g.op('Reciprocal', [g.op('Sqrt', [power])]);
  return { hat: site.mul(from, rate), rate, axes, centred };
}

/**
 * rate · (d − mean(d) − hat · mean(d · hat)): the gradient of what was normalized from that of the result.
 * @param means Of d and of d · hat.
 */
function back(
  site: GradientSite,
  { hat, rate, axes, centred }: Normalized,
  d: string,
  means = { d: () => mean(site, d, axes), along: () => mean(site, site.mul(d, hat), axes) },
): string {
  const rest = centred ? site.sub(d, means.d()) : d;
  return site.mul(site.sub(rest, site.mul(hat, means.along())), rate);
}

/** LayerNormalization and RMSNormalization: over the axes from `axis` to the last. */
const overLastAxes =
  (centred: boolean): GradientRule =>
  (site) => {
    const { g, dy, x, node } = site;
    const rank = site.dims(0).length;
    const first = fromFront(numberAttribute(node, 'axis', -1), rank);
    const axes = Array.from({ length: rank - first }, (_, axis) => first + axis);
    let found: Normalized | undefined;
    const normalized = () => {
      if (found) return found;
      if (!centred || site.dtypeOf(x[0]!) !== 'float32' || numberAttribute(node, 'stash_type', 1) !== 1) {
        return (found = normalize(site, x[0]!, axes, centred));
      }
      // The forward pass knows both.
      const [middle, rate] = [g.extend(node, 1), g.extend(node, 2)];
      return (found = { hat: site.mul(site.sub(x[0]!, middle), rate), rate, axes, centred });
    };
    let product: string | undefined;
    const along = () => (product ??= site.mul(dy, normalized().hat));
    const [width] = site.dims(0).slice(-1);
    const byProduct = axes.length === 1 && typeof width === 'number' && isVector(site.dims(1), width);
    return [
      () => {
        const scaled = site.mul(dy, x[1]!);
        if (!byProduct) return back(site, normalized(), scaled);
        // Means of what is scaled are products with a column: passes over the elements less than scaling and summing.
        const column = g.op('Reshape', [site.mul(x[1]!, site.number(1 / width)), g.int64s([width, 1])]);
        const times = (value: string) => () => g.op('MatMul', [value, column]);
        return back(site, normalized(), scaled, { d: times(dy), along: times(along()) });
      },
      along,
      () => dy,
    ];
  };

function isVector(dims: readonly Dim[], size: number): boolean {
  return dims.length === 1 && dims[0] === size;
}

/** InstanceNormalization and GroupNormalization: over each group of channels of each example. */
const overGroups: GradientRule = (site) => {
  const { g, dy, x } = site;
  const [, channels] = site.dims(0);
  const groups = numberAttribute(site.node, 'num_groups', Number(channels));
  if (Number.isNaN(groups)) return site.refuse('its number of channels is not known');
  if (site.dims(1)[0] !== channels)
    return site.refuse('it scales groups instead of channels (operator set 18)');
  const axes = otherAxes(site.dims(0).length);
  const grouped = (value: string) => g.op('Reshape', [value, g.int64s([0, groups, -1])]);
  let found: Normalized | undefined;
  const normalized = () => (found ??= normalize(site, grouped(x[0]!), [2], true));
  return [
    () => {
      const scaled = grouped(site.mul(dy, perChannel(site, x[1]!)));
      return reshapeLike(g, back(site, normalized(), scaled), x[0]!);
    },
    () => site.sum(site.mul(dy, reshapeLike(g, normalized().hat, x[0]!)), axes, false),
    () => site.sum(dy, axes, false),
  ];
};

/** x/‖x‖ along an axis; at the origin, where it has no direction, the gradient is 0. */
const lpNormalization: GradientRule = (site) => [
  () => {
    const { g, dy, x, y } = site;
    const axes = [fromFront(numberAttribute(site.node, 'axis', -1), site.dims(0).length)];
    const euclidean = numberAttribute(site.node, 'p', 2) === 2;
    const norm = euclidean
      ? g.op('Sqrt', [site.sum(site.mul(x[0]!, x[0]!), axes)])
      : site.sum(g.op('Abs', [x[0]!]), axes);
    const direction = euclidean ? y[0]! : g.op('Sign', [x[0]!]);
    const rest = site.sub(dy, site.mul(direction, site.sum(site.mul(dy, y[0]!), axes)));
    return site.where(g.op('Greater', [norm, site.number(0)]), site.div(rest, norm));
  },
];

export const normalizationGradients: GradientRules = {
  BatchNormalization: batchNormalization,
  LayerNormalization: overLastAxes(true),
  RMSNormalization: overLastAxes(false),
  InstanceNormalization: overGroups,
  GroupNormalization: overGroups,
  LpNormalization: lpNormalization,
};
