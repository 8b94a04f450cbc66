import { numberAttribute } from '../graph.js';
import { fromFront, productOf } from '../shapes/rule.js';
import { cast, type GradientRule, type GradientRules, type GradientSite } from './rule.js';

/** Axes that a reduction goes over, counted from the front. */
function axesOf(site: GradientSite): number[] {
  const rank = site.dims(0).length;
  const axes = site.axes(1);
  if (axes === 'unknown') return site.refuse('its axes are computed at run time');
  if (axes && axes.length > 0) return axes.map((axis) => fromFront(axis, rank));
  if (numberAttribute(site.node, 'noop_with_empty_axes', 0) === 1) return [];
  return [...Array(rank).keys()];
}

/** An output-shaped value with the reduced axes put back as ones, so that it broadcasts against the input. */
function keptAxes(site: GradientSite, value: string): string {
  if (numberAttribute(site.node, 'keepdims', 1) === 1) return value;
  const axes = axesOf(site).sort((a, b) => a - b);
  return axes.length === 0 ? value : site.g.op('Unsqueeze', [value, site.g.int64s(axes)]);
}

/** An output-shaped value repeated over the input's shape. */
function spread(site: GradientSite, value: string): string {
  const { g, x } = site;
  const dims = site.dims(0);
  const axes = axesOf(site);
  if (axes.length === 0) return value;
  const known = productOf(axes.map((axis) => dims[axis]!)) !== undefined;
  const target = known
    ? g.int64s(dims.map((dim, axis) => (axes.includes(axis) ? Number(dim) : 1)))
    : g.op('Shape', [x[0]!]);
  return g.op('Expand', [keptAxes(site, value), target]);
}

/** Elements that go into each output, as a number of the input's type. */
function count(site: GradientSite): string {
  const { g, x, y } = site;
  const dims = site.dims(0);
  const known = productOf(axesOf(site).map((axis) => dims[axis]!));
  if (known !== undefined) return site.number(known);
  const size = (name: string) => g.op('Size', [name]);
  return cast(g, g.op('Div', [size(x[0]!), size(y[0]!)]), site.dtypeOf(x[0]!));
}

/** The gradient goes to the largest (smallest) elements, in equal shares. */
const extreme: GradientRule = (site) => [
  () => {
    const { g, x, y, dy } = site;
    const mask = site.mask(g.op('Equal', [x[0]!, keptAxes(site, y[0]!)]));
    const axes = axesOf(site);
    const ties = axes.length === 0 ? mask : site.sum(mask, axes);
    return site.mul(mask, site.div(keptAxes(site, dy), ties));
  },
];

/** Softmax and its logarithm, over `axis` of the output. */
const along = (site: GradientSite) => [numberAttribute(site.node, 'axis', -1)];

export const reduceGradients: GradientRules = {
  ReduceSum: (site) => [() => spread(site, site.dy)],
  ReduceMean: (site) => [() => spread(site, site.div(site.dy, count(site)))],
  ReduceMax: extreme,
  ReduceMin: extreme,
  ReduceSumSquare: (site) => [() => site.mul(keptAxes(site, site.dy), site.mul(site.number(2), site.x[0]!))],
  ReduceL1: (site) => [() => site.mul(keptAxes(site, site.dy), site.g.op('Sign', [site.x[0]!]))],
  ReduceL2: (site) => [
    () => {
      const { g, x, y, dy } = site;
      // At the origin every direction is as good: the gradient there is 0.
      const slope = site.where(g.op('Greater', [y[0]!, site.number(0)]), site.div(dy, y[0]!));
      return site.mul(keptAxes(site, slope), x[0]!);
    },
  ],
  ReduceLogSumExp: (site) => [
    () => {
      const share = site.g.op('Exp', [site.sub(site.x[0]!, keptAxes(site, site.y[0]!))]);
      return site.mul(keptAxes(site, site.dy), share);
    },
  ],
  Softmax: (site) => [
    () => {
      const { dy, y } = site;
      return site.mul(y[0]!, site.sub(dy, site.sum(site.mul(dy, y[0]!), along(site))));
    },
  ],
  LogSoftmax: (site) => [
    () => {
      const { g, dy, y } = site;
      return site.sub(dy, site.mul(g.op('Exp', [y[0]!]), site.sum(dy, along(site))));
    },
  ],
};
