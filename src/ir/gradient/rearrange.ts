import { attr, numberAttribute, numbersAttribute, stringAttribute } from '../graph.js';
import { fromFront } from '../shapes/rule.js';
import { resizeScales } from '../shapes/layout.js';
import { tensor } from '../tensor.js';
import { zerosLike, type GradientRule, type GradientRules, type GradientSite } from './rule.js';

const wholeEnd = 2 ** 62;

/** Reads back what lies inside the padding; what copies of the inside get is folded in. */
const pad: GradientRule = (site) => {
  const { g, node } = site;
  const mode = stringAttribute(node, 'mode', 'constant');
  const rank = site.dims(0).length;
  const pads = site.has(1) ? site.numbers(1) : numbersAttribute(node, 'pads');
  const given = site.has(3) ? site.numbers(3) : Array.from({ length: rank }, (_, axis) => axis);
  if (!pads || !given) return site.refuse('its sizes are computed at run time');
  const axes = given.map((axis) => fromFront(axis, rank));
  const before = pads.slice(0, axes.length);
  const after = pads.slice(axes.length);
  if (mode !== 'constant') {
    const folds = axes.map((axis, at) => ({ axis, before: before[at]!, after: after[at]! }));
    return [() => folds.reduce((dy, fold) => foldBack(site, dy, mode, fold), site.dy)];
  }
  const inside = () => {
    // Where the axis was cut (negative padding) zeros come back.
    const starts = before.map((size) => Math.max(0, size));
    const ends = after.map((size) => (size > 0 ? -size : wholeEnd));
    const kept = g.op('Slice', [site.dy, g.int64s(starts), g.int64s(ends), g.int64s(axes)]);
    const missing = Array<number>(2 * rank).fill(0);
    for (const [index, axis] of axes.entries()) {
      missing[axis] = Math.max(0, -before[index]!);
      missing[axis + rank] = Math.max(0, -after[index]!);
    }
    return missing.some((size) => size > 0) ? g.op('Pad', [kept, g.int64s(missing)]) : kept;
  };
  const every = [...Array(rank).keys()];
  return [
    inside,
    undefined,
    // What the filling gets is the rest.
    () => site.sub(site.sum(site.dy, every, false), site.sum(inside(), every, false)),
  ];
};

/** One axis of a padding with copies: `before` and `after` elements of it. */
interface Fold {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
}

/** What lies inside along the axis, and what its copies before and after it got, where they were copied from. */
function foldBack(site: GradientSite, dy: string, mode: string, { axis, before, after }: Fold): string {
  const { g } = site;
  const size = site.dims(0)[axis];
  if (before < 0 || after < 0) return site.refuse(`it cuts what it pads by ${mode}`);
  if (before === 0 && after === 0) return dy;
  if (typeof size !== 'number') return site.refuse('its sizes are computed at run time');
  const cut = (start: number, end: number, step = 1) =>
    g.op('Slice', [dy, ...[start, end, axis, step].map((value) => g.int64s([value]))]);
  /** A part of the axis at its place, with zeros around. */
  const put = (part: string, first: number, count: number): string =>
    g.op('Pad', [part, g.int64s([first, size - first - count]), '', g.int64s([axis])]);
  const sum = (part: string) => site.sum(part, [axis]);
  const end = before + size;
  const copies: Readonly<Record<string, readonly (() => string)[]>> = {
    reflect: [
      () => put(cut(before - 1, -wholeEnd, -1), 1, before),
      () => put(cut(-1, end - 1, -1), size - 1 - after, after),
    ],
    edge: [() => put(sum(cut(0, before)), 0, 1), () => put(sum(cut(end, wholeEnd)), size - 1, 1)],
    wrap: [() => put(cut(0, before), size - before, before), () => put(cut(end, wholeEnd), 0, after)],
  };
  const [front, back] = copies[mode] ?? site.refuse(`it pads by ${mode}`);
  const parts = [cut(before, end), ...(before > 0 ? [front!()] : []), ...(after > 0 ? [back!()] : [])];
  return parts.reduce((total, part) => site.add(total, part));
}

/** Sums over the copies: each axis becomes [copies, size]. */
const tile: GradientRule = (site) => [
  () => {
    const { g } = site;
    const dims = site.dims(0);
    const repeats = site.numbers(1) ?? site.refuse('its repeats are computed at run time');
    const names = dims.filter((dim) => typeof dim === 'string').length;
    const sizes = dims.map((dim) => (typeof dim === 'number' ? dim : -1));
    if (names > 1) return site.refuse('more than one of its sizes is not known');
    const split = sizes.flatMap((size, axis) => [repeats[axis]!, size]);
    const copies = dims.map((_, axis) => 2 * axis);
    return site.sum(g.op('Reshape', [site.dy, g.int64s(split)]), copies, false);
  },
];

/** The sum runs the other way. */
const cumulativeSum: GradientRule = (site) => [
  () => {
    const { g, node } = site;
    const reverse = numberAttribute(node, 'reverse', 0) === 1 ? 0 : 1;
    const exclusive = attr.int(numberAttribute(node, 'exclusive', 0));
    return g.op('CumSum', [site.dy, site.x[1]!], { exclusive, reverse: attr.int(reverse) });
  },
];

/** Adds the gradient back to where `indices` picked along `axis`. */
function scatter(site: GradientSite, indices: string, axis: number): string {
  return site.g.op('ScatterElements', [zerosLike(site.g, site.x[0]!), indices, site.dy], {
    axis: attr.int(axis),
    reduction: attr.string('add'),
  });
}

const largest: GradientRule = (site) => [
  () => scatter(site, site.y[1]! || site.g.extend(site.node, 1), numberAttribute(site.node, 'axis', -1)),
];

/** Without a reduction what was overwritten gets nothing; the updates get what lies where they were put. */
const scatterElements: GradientRule = (site) => {
  const { g, dy, x, node } = site;
  const axis = { axis: attr.int(numberAttribute(node, 'axis', 0)) };
  const reduction = stringAttribute(node, 'reduction', 'none');
  if (reduction !== 'none' && reduction !== 'add') return site.refuse(`it reduces by ${reduction}`);
  return [
    () => (reduction === 'add' ? dy : g.op('ScatterElements', [dy, x[1]!, zerosLike(g, x[2]!)], axis)),
    undefined,
    () => g.op('GatherElements', [dy, x[1]!], axis),
  ];
};

/** Positions in the flattened data that the index tuples of a GatherND name, so that no ScatterND is needed. */
const gatherNd: GradientRule = (site) => [
  () => {
    const { g, dy, x } = site;
    if (numberAttribute(site.node, 'batch_dims', 0) !== 0) site.refuse('it has batch axes');
    // Every element of the data knows its position; gathering the positions tells where each came from.
    const flat = g.int64s([-1]);
    const positions = g.op('Range', [g.scalar(0, 'int64'), g.op('Size', [x[0]!]), g.scalar(1, 'int64')]);
    const shaped = g.op('Reshape', [positions, g.op('Shape', [x[0]!])]);
    const taken = g.op('Reshape', [g.op('GatherND', [shaped, x[1]!]), flat]);
    const zeros = g.op('Reshape', [zerosLike(g, x[0]!), flat]);
    const add = { reduction: attr.string('add') };
    const put = g.op('ScatterElements', [zeros, taken, g.op('Reshape', [dy, flat])], add);
    return g.op('Reshape', [put, g.op('Shape', [x[0]!])]);
  },
];

/** Each block of b × b goes back to channels, which were split as b·b·C (DCR) or C·b·b (CRD). */
const depthToSpace: GradientRule = (site) => [
  () => {
    const { g } = site;
    const size = numberAttribute(site.node, 'blocksize', 1);
    const [, ...sizes] = site.dims(0);
    if (sizes.some((dim) => typeof dim !== 'number')) return site.refuse('its sizes are not known');
    const [channels, height, width] = sizes.map(Number) as [number, number, number];
    const blocks = g.int64s([0, channels / size ** 2, height, size, width, size]);
    const first =
      stringAttribute(site.node, 'mode', 'DCR') === 'DCR' ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4];
    const perm = { perm: attr.ints(first) };
    const moved = g.op('Transpose', [g.op('Reshape', [site.dy, blocks])], perm);
    return g.op('Reshape', [moved, g.int64s([0, channels, height, width])]);
  },
];

/** Resizing is a product with one matrix per axis, and goes back through its transpose. */
const resize: GradientRule = (site) => [
  () => {
    const { g, y } = site;
    const rank = site.dims(0).length;
    if (stringAttribute(site.node, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize') {
      return site.refuse('it crops');
    }
    let gradient = site.dy;
    for (const [axis, size] of site.dims(0).entries()) {
      const result = g.shapeOf(y[0]!)[axis]!;
      if (size === result) continue;
      if (typeof size !== 'number' || typeof result !== 'number') {
        // Nobody resizes examples or channels.
        if (axis < 2) continue;
        return site.refuse('its sizes are not known');
      }
      const perm = [...Array(rank).keys()].filter((other) => other !== axis).concat(axis);
      const last = axis === rank - 1;
      const order = (axes: readonly number[]) => ({ perm: attr.ints(axes) });
      const rows = last ? gradient : g.op('Transpose', [gradient], order(perm));
      const product = g.op('MatMul', [rows, resizing(site, axis, size, result)]);
      const inverse = perm.map((_, other) => perm.indexOf(other));
      gradient = last ? product : g.op('Transpose', [product], order(inverse));
    }
    return gradient;
  },
];

/** The matrix of one axis, [result, size]: the operator itself resizes the unit vectors. */
function resizing(site: GradientSite, axis: number, size: number, result: number): string {
  const { g, node } = site;
  const units = Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0));
  const eye = g.constant(tensor(site.dtypeOf(site.x[0]!), [size, 1, 1, size], units));
  const scale = resizeScales(site)?.[axis];
  const amount =
    scale === undefined
      ? ['', g.int64s([size, 1, 1, result])]
      : [g.constant(tensor('float32', [4], [1, 1, 1, scale]))];
  const how = Object.entries(node.attributes).filter(
    ([name]) => name !== 'axes' && name !== 'keep_aspect_ratio_policy',
  );
  const rows = g.op('Resize', [eye, '', ...amount], Object.fromEntries(how));
  const matrix = g.op('Reshape', [rows, g.int64s([size, result])]);
  return g.op('Transpose', [matrix], { perm: attr.ints([1, 0]) });
}

export const rearrangementGradients: GradientRules = {
  Pad: pad,
  Tile: tile,
  CumSum: cumulativeSum,
  Trilu: (site) => [
    () => {
      const upper = { upper: attr.int(numberAttribute(site.node, 'upper', 1)) };
      return site.g.op('Trilu', site.has(1) ? [site.dy, site.x[1]!] : [site.dy], upper);
    },
  ],
  TopK: largest,
  ScatterElements: scatterElements,
  GatherND: gatherNd,
  DepthToSpace: depthToSpace,
  SpaceToDepth: (site) => [
    () => {
      const size = numberAttribute(site.node, 'blocksize', 1);
      return site.g.op('DepthToSpace', [site.dy], { blocksize: attr.int(size) });
    },
  ],
  Resize: resize,
};
