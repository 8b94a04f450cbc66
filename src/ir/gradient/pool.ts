import { attr, numberAttribute, numbersAttribute, stringAttribute } from '../graph.js';
import { productOf } from '../shapes/rule.js';
import { sizeOf, tensor } from '../tensor.js';
import { cast, type GradientRule, type GradientRules, type GradientSite } from './rule.js';
import { widening, windowOf, type Window } from './window.js';

function poolWindow(site: GradientSite): Window {
  const kernel = numbersAttribute(site.node, 'kernel_shape') ?? site.refuse('it states no kernel_shape');
  return windowOf(site, { kernel, wide: site.dims(0), narrow: site.g.shapeOf(site.y[0]!) });
}

/** Whether each element is read by exactly one position of the kernel. */
function tiles({ kernel, strides, dilations, before, after }: Window): boolean {
  return kernel.every(
    (size, axis) =>
      strides[axis] === size &&
      (dilations[axis] === 1 || size === 1) &&
      before[axis] === 0 &&
      after[axis] === 0,
  );
}

/** Each element of the narrow side repeated over the tile that it came from. */
function repeat(site: GradientSite, narrow: string, { kernel }: Window): string {
  const scales = site.g.constant(tensor('float32', [kernel.length + 2], [1, 1, ...kernel]));
  return site.g.op('Resize', [narrow, '', scales], {
    mode: attr.string('nearest'),
    coordinate_transformation_mode: attr.string('asymmetric'),
    nearest_mode: attr.string('floor'),
  });
}

/** Up to this width a product with a matrix of ones sums up tiles faster than AveragePool does (measured). */
const narrowImage = 64;

/** The sum over each tile of `wide`, in the shape of the node's output. */
function sumTiles(site: GradientSite, wide: string, window: Window): string {
  const { g, y } = site;
  const [width, narrow] = [window.wide.at(-1)!, window.narrow.at(-1)!];
  if (window.kernel.length > 2 || width > narrowImage) {
    const mean = g.op('AveragePool', [wide], {
      kernel_shape: attr.ints(window.kernel),
      strides: attr.ints(window.strides),
    });
    return site.mul(mean, site.number(sizeOf(window.kernel)));
  }
  // The lines that a row of tiles covers lie one behind the other, so that one row of the matrix sees them all.
  const lines = window.kernel.length === 2 ? window.kernel[0]! : 1;
  const reach = window.kernel.at(-1)!;
  const ones = Array.from({ length: lines * width * narrow }, (_, at) =>
    Math.floor((Math.floor(at / narrow) % width) / reach) === at % narrow ? 1 : 0,
  );
  const matrix = g.constant(tensor(site.dtypeOf(wide), [lines * width, narrow], ones));
  const rows = g.op('Reshape', [wide, g.int64s([-1, lines * width])]);
  return g.op('Reshape', [g.op('MatMul', [rows, matrix]), g.op('Shape', [y[0]!])]);
}

/**
 * Where the windows do not overlap, the largest elements of each share the gradient: several are equal on any blank
 * background. Where they overlap it goes to the first of them.
 */
const maxPool: GradientRule = (site) => [
  () => {
    const { g, dy, x, y } = site;
    const window = poolWindow(site);
    if (tiles(window)) {
      const largest = site.mask(g.op('Equal', [x[0]!, repeat(site, y[0]!, window)]));
      return site.mul(largest, repeat(site, site.div(dy, sumTiles(site, largest, window)), window));
    }
    if (numberAttribute(site.node, 'storage_order', 0) !== 0) site.refuse('it counts indices by columns');
    const flat = (name: string) => g.op('Reshape', [name, g.int64s([-1])]);
    const indices = flat(g.extend(site.node, 1));
    const size = g.op('Reshape', [g.op('Size', [x[0]!]), g.int64s([1])]);
    const zeros = g.op('ConstantOfShape', [size], {
      value: attr.tensor(tensor(site.dtypeOf(x[0]!), [1], [0])),
    });
    const put = g.op('ScatterElements', [zeros, indices, flat(dy)], { reduction: attr.string('add') });
    return g.op('Reshape', [put, g.op('Shape', [x[0]!])]);
  },
];

/** Elements that each position averages over: [1, 1, …narrow]. */
function divisors(site: GradientSite, window: Window): string {
  const { kernel, strides, dilations, before, narrow, wide } = window;
  const counted = numberAttribute(site.node, 'count_include_pad', 0) === 1;
  const pads = numbersAttribute(site.node, 'pads');
  const stated = stringAttribute(site.node, 'auto_pad', 'NOTSET') === 'NOTSET';
  let counts = [1];
  for (const [axis, length] of narrow.entries()) {
    const low = counted ? -before[axis]! : 0;
    // Beyond the padding that was asked for lies what ceil_mode added; it never counts.
    const padding = stated ? (pads?.[axis + narrow.length] ?? 0) : Math.max(0, window.after[axis]!);
    const high = wide[axis]! + (counted ? padding : 0);
    const along = Array.from({ length }, (_, position) => {
      const start = position * strides[axis]! - before[axis]!;
      const cells = Array.from({ length: kernel[axis]! }, (_, at) => start + at * dilations[axis]!);
      return cells.filter((cell) => cell >= low && cell < high).length;
    });
    counts = counts.flatMap((count) => along.map((factor) => count * factor));
  }
  if (counts.every((count) => count === counts[0])) return site.number(counts[0]!);
  return site.g.constant(tensor(site.dtypeOf(site.x[0]!), [1, 1, ...narrow], counts));
}

const averagePool: GradientRule = (site) => [
  () => {
    const { g } = site;
    const window = poolWindow(site);
    const share = site.div(site.dy, divisors(site, window));
    if (tiles(window)) return repeat(site, share, window);
    const channels = site.dims(0)[1]!;
    if (typeof channels !== 'number') return site.refuse('its number of channels is not known');
    const kernel = [channels, 1, ...window.kernel];
    const ones = g.constant(tensor(site.dtypeOf(site.x[0]!), kernel, Array<number>(sizeOf(kernel)).fill(1)));
    return g.op('ConvTranspose', [share, ones], { group: attr.int(channels), ...widening(window) });
  },
];

const spatial = (site: GradientSite) => site.dims(0).flatMap((_, axis) => (axis < 2 ? [] : [axis]));

const globalAveragePool: GradientRule = (site) => [
  () => {
    const { g, dy, x, y } = site;
    const sizes = site.dims(0).slice(2);
    const known = productOf(sizes);
    if (known !== undefined) {
      return g.op('Expand', [site.div(dy, site.number(known)), g.int64s([1, 1, ...sizes.map(Number)])]);
    }
    const count = g.op('Div', [g.op('Size', [x[0]!]), g.op('Size', [y[0]!])]);
    return g.op('Expand', [site.div(dy, cast(g, count, site.dtypeOf(x[0]!))), g.op('Shape', [x[0]!])]);
  },
];

const globalMaxPool: GradientRule = (site) => [
  () => {
    const largest = site.mask(site.g.op('Equal', [site.x[0]!, site.y[0]!]));
    return site.mul(largest, site.div(site.dy, site.sum(largest, spatial(site))));
  },
];

export const poolGradients: GradientRules = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
};
