import { attr, numberAttribute, numbersAttribute } from '../graph.js';
import { sliceRange } from '../shapes/layout.js';
import { fromFront } from '../shapes/rule.js';
import {
  cast,
  reshapeLike,
  zerosLike,
  type GradientRule,
  type GradientRules,
  type GradientSite,
} from './rule.js';

const reshape: GradientRule = (site) => [() => reshapeLike(site.g, site.dy, site.x[0]!)];

function axisOf(site: GradientSite, otherwise: number): number {
  return fromFront(numberAttribute(site.node, 'axis', otherwise), site.dims(0).length);
}

const concat: GradientRule = (site) => {
  const { g, dy, x } = site;
  const axis = axisOf(site, 1);
  let parts: string[] | undefined;
  // All parts come out of one Split, however many of them are asked for.
  const split = () => {
    const sizes = x.map((_, index) => site.dims(index)[axis]!);
    const known = sizes.every((size) => typeof size === 'number');
    const measured = () =>
      g.op(
        'Concat',
        x.map((name) => g.op('Gather', [g.op('Shape', [name]), g.int64s([axis])])),
        { axis: attr.int(0) },
      );
    const lengths = known ? g.int64s(sizes) : measured();
    return g.ops('Split', [dy, lengths], { axis: attr.int(axis) }, { outputs: x.length });
  };
  return x.map((_, index) => () => (parts ??= split())[index]!);
};

const split: GradientRule = (site) => [
  () => {
    const { g, dys, y } = site;
    const parts = y.map((name, index) => dys[index] ?? zerosLike(g, name));
    return g.op('Concat', parts, { axis: attr.int(axisOf(site, 0)) });
  },
];

/** Zeros before and after the slice on each axis, or undefined when sizes are not known or elements are skipped. */
function padding(site: GradientSite): number[] | undefined {
  const { node } = site;
  const dims = site.dims(0);
  const starts = site.has(1) ? site.numbers(1) : numbersAttribute(node, 'starts');
  const ends = site.has(2) ? site.numbers(2) : numbersAttribute(node, 'ends');
  const axes = site.has(3)
    ? site.numbers(3)
    : (numbersAttribute(node, 'axes') ?? starts?.map((_, axis) => axis));
  const steps = site.has(4) ? site.numbers(4) : starts?.map(() => 1);
  if (!starts || !ends || !axes || steps?.some((step) => step !== 1) !== false) return undefined;
  const before = dims.map(() => 0);
  const after = dims.map(() => 0);
  for (const [index, given] of axes.entries()) {
    const axis = fromFront(given, dims.length);
    const size = dims[axis]!;
    if (typeof size !== 'number') return undefined;
    const { start, count } = sliceRange(size, starts[index]!, ends[index]!, 1);
    before[axis] = start;
    after[axis] = size - start - count;
  }
  return [...before, ...after];
}

const slice: GradientRule = (site) => [
  () => {
    const { g, dy, x, node } = site;
    const pads = padding(site);
    if (pads) return g.op('Pad', [dy, g.int64s(pads)]);
    // The same slice of the elements' positions tells where each came from.
    const size = g.op('Size', [x[0]!]);
    const flat = g.int64s([-1]);
    const positions = g.op('Range', [g.scalar(0, 'int64'), size, g.scalar(1, 'int64')]);
    const shaped = g.op('Reshape', [positions, g.op('Shape', [x[0]!])]);
    const taken = g.op('Slice', [shaped, ...x.slice(1)], node.attributes);
    const zeros = g.op('Reshape', [zerosLike(g, x[0]!), flat]);
    const put = g.op('ScatterElements', [zeros, g.op('Reshape', [taken, flat]), g.op('Reshape', [dy, flat])]);
    return reshapeLike(g, put, x[0]!);
  },
];

/** Up to so many rows, a product with one-hot rows adds faster than ScatterElements does (measured). */
const shortTable = 256;

/** The gradient of a table [rows, width] that rows of dY were taken from: one-hotᵀ · dY. */
function addByProduct(site: GradientSite, rows: number, width: number): string {
  const { g, dy, x } = site;
  const indices = cast(g, g.op('Reshape', [x[1]!, g.int64s([-1, 1])]), 'int64');
  // Negative indices count from the end.
  const counted = g.op('Mod', [indices, g.int64s([rows])]);
  const each = g.int64s(Array.from({ length: rows }, (_, row) => row));
  const chosen = cast(g, g.op('Equal', [counted, each]), site.dtypeOf(x[0]!));
  return g.op('Gemm', [chosen, g.op('Reshape', [dy, g.int64s([-1, width])])], { transA: attr.int(1) });
}

/** Adds the rows of dY to the rows of zeros that they were taken from; duplicate indices add up. */
const gather: GradientRule = (site) => [
  () => {
    const { g, dy, x } = site;
    const [rowsOfTable, width] = site.dims(0);
    const rank = site.dims(0).length;
    if (rank === 2 && axisOf(site, 0) === 0) {
      const sized = typeof rowsOfTable === 'number' && typeof width === 'number';
      if (sized && rowsOfTable <= shortTable) return addByProduct(site, rowsOfTable, width);
    }
    const indexRank = site.dims(1).length;
    const axis = axisOf(site, 0);
    // The gathered axis goes first, on both sides; then rows are [count, everything else].
    const first = [axis, ...[...Array(rank).keys()].filter((other) => other !== axis)];
    const perm = (order: readonly number[]) => ({ perm: attr.ints(order) });
    const indexAxes = Array.from({ length: indexRank }, (_, index) => axis + index);
    const dyRank = rank - 1 + indexRank;
    const rest = [...Array(dyRank).keys()].filter((other) => !indexAxes.includes(other));
    const moved = axis === 0 ? dy : g.op('Transpose', [dy], perm([...indexAxes, ...rest]));
    const count = g.op('Reshape', [g.op('Size', [x[1]!]), g.int64s([1])]);
    const rows = g.op('Reshape', [moved, g.op('Concat', [count, g.int64s([-1])], { axis: attr.int(0) })]);
    const zeros = zerosLike(g, x[0]!);
    const table = axis === 0 ? zeros : g.op('Transpose', [zeros], perm(first));
    const flat = g.op('Reshape', [table, g.int64s(rank === 1 ? [-1, 1] : [0, -1])]);
    const indices = g.op('Expand', [g.op('Reshape', [x[1]!, g.int64s([-1, 1])]), g.op('Shape', [rows])]);
    const added = g.op('ScatterElements', [flat, indices, rows], {
      axis: attr.int(0),
      reduction: attr.string('add'),
    });
    const back = g.op('Reshape', [added, g.op('Shape', [table])]);
    if (axis === 0) return back;
    return g.op('Transpose', [back], perm(first.map((_, index) => first.indexOf(index))));
  },
];

export const layoutGradients: GradientRules = {
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  // The walk sums over the axes that were repeated.
  Expand: ({ dy }) => [() => dy],
  Transpose: (site) => [
    () => {
      const perm =
        numbersAttribute(site.node, 'perm') ?? site.dims(0).map((_, axis, all) => all.length - 1 - axis);
      return site.g.op('Transpose', [site.dy], {
        perm: attr.ints(perm.map((_, axis) => perm.indexOf(axis))),
      });
    },
  ],
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: (site) => [
    () =>
      site.g.op('ScatterElements', [zerosLike(site.g, site.x[0]!), site.x[1]!, site.dy], {
        axis: attr.int(numberAttribute(site.node, 'axis', 0)),
        reduction: attr.string('add'),
      }),
  ],
};
