import { numbersAttribute, stringAttribute, type Dim } from '../graph.js';
import { attr, type Attributes } from '../graph.js';
import type { GradientSite } from './rule.js';

/** How a kernel goes over the spatial axes of its input: one number per axis, all in elements. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Sizes of the side that the kernel reads, and of the side with one position of the kernel per element. */
  readonly wide: readonly number[];
  readonly narrow: readonly number[];
  /** Padding before the wide side. */
  readonly before: readonly number[];
  /** Padding after it that the last position reaches into; negative: elements that no position reads. */
  readonly after: readonly number[];
}

/**
 * The window of a convolution or a pool.
 * @param kernel Its size, where it is no attribute of the node.
 * @param wide Shape with the spatial sizes that the kernel reads. @param narrow Shape of what it gives.
 */
export function windowOf(
  site: GradientSite,
  { kernel, wide, narrow }: { kernel: readonly Dim[]; wide: readonly Dim[]; narrow: readonly Dim[] },
): Window {
  const known = (dims: readonly Dim[], what: string): number[] =>
    dims.map((dim) => (typeof dim === 'number' ? dim : site.refuse(`${what} is not known (${dim})`)));
  const size = known(kernel, 'the size of its kernel');
  const ones = size.map(() => 1);
  const strides = numbersAttribute(site.node, 'strides') ?? ones;
  const dilations = numbersAttribute(site.node, 'dilations') ?? ones;
  const from = known(wide.slice(2), 'the size of an axis that its kernel goes over');
  const to = known(narrow.slice(2), 'the size of an axis that its kernel goes over');
  const excess = from.map(
    (length, axis) => (to[axis]! - 1) * strides[axis]! + dilations[axis]! * (size[axis]! - 1) + 1 - length,
  );
  const before = paddingBefore(site, excess);
  return {
    kernel: size,
    strides,
    dilations,
    wide: from,
    narrow: to,
    before,
    after: excess.map((total, axis) => total - before[axis]!),
  };
}

/** @param excess By how much the kernel's positions span more than the axis. */
function paddingBefore(site: GradientSite, excess: readonly number[]): number[] {
  const mode = stringAttribute(site.node, 'auto_pad', 'NOTSET');
  const shaped = numbersAttribute(site.node, 'output_shape') !== undefined;
  const outputPadding = numbersAttribute(site.node, 'output_padding');
  if (mode.startsWith('SAME') || shaped) {
    return excess.map((missing, axis) => {
      const total = Math.max(0, missing + (outputPadding?.[axis] ?? 0));
      // ConvTranspose with an output shape pads like SAME_LOWER, unless told otherwise.
      return mode === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
    });
  }
  const pads = mode === 'VALID' ? undefined : numbersAttribute(site.node, 'pads');
  return excess.map((_, axis) => pads?.[axis] ?? 0);
}

/** Attributes of an operator that goes over the same window from the wide side to the narrow one. */
export function narrowing(window: Window): Attributes {
  return { ...movement(window), pads: attr.ints([...window.before, ...clipped(window.after)]) };
}

/** Attributes of the ConvTranspose that goes back to the wide side. */
export function widening(window: Window): Attributes {
  return {
    ...narrowing(window),
    output_padding: attr.ints(clipped(window.after.map((after) => -after))),
  };
}

function movement({ kernel, strides, dilations }: Window): Attributes {
  return { kernel_shape: attr.ints(kernel), strides: attr.ints(strides), dilations: attr.ints(dilations) };
}

function clipped(sizes: readonly number[]): number[] {
  return sizes.map((size) => Math.max(0, size));
}

/** `wide` with zeros where positions of the kernel reach beyond it. */
export function padded(site: GradientSite, wide: string, { before, after }: Window): string {
  const sizes = [0, 0, ...before, 0, 0, ...clipped(after)];
  if (sizes.every((size) => size === 0)) return wide;
  return site.g.op('Pad', [wide, site.g.int64s(sizes)]);
}

/** Every position within a kernel, the last axis fastest. */
export function tapsOf(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (taps, size) => taps.flatMap((tap) => Array.from({ length: size }, (_, at) => [...tap, at])),
    [[]],
  );
}

/** The elements of the padded wide side that the kernel's element `tap` meets, one for each of its positions. */
export function tapped(
  site: GradientSite,
  wide: string,
  { strides, dilations, narrow }: Window,
  tap: readonly number[],
): string {
  const { g } = site;
  const starts = tap.map((at, axis) => at * dilations[axis]!);
  const ends = starts.map((start, axis) => start + (narrow[axis]! - 1) * strides[axis]! + 1);
  const sizes = g.shapeOf(wide).slice(2);
  const whole = ends.every((end, axis) => end === sizes[axis] && starts[axis] === 0 && strides[axis] === 1);
  if (whole) return wide;
  const axes = tap.map((_, axis) => axis + 2);
  return g.op('Slice', [wide, ...[starts, ends, axes, strides].map((list) => g.int64s(list))]);
}
