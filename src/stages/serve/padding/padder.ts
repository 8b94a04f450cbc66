import { allocate, sizeOf, type NdArray, type TypedArray } from '../../../ir/tensor.js';
import type { Feeds } from '../../../runtime/session.js';
import { joinRows, splitRows } from '../../../runtime/rows.js';
import type { PaddedAxes, PaddedDimension, PaddingPlan } from './plan.js';

type Arrays = Record<string, NdArray>;

/** Size of each dimension. */
type Lengths = ReadonlyMap<PaddedDimension, number>;

/** Pads requests to the longest of their run, and cuts their answers back. Those that are alike are left as they are. */
export class Padder {
  readonly plan: PaddingPlan;

  constructor(plan: PaddingPlan) {
    this.plan = plan;
  }

  /** Equal for those that may share a run. */
  keyOf(feeds: Feeds): string {
    let shapeKey = '';
    for (const [name, { dims }] of Object.entries(feeds)) {
      const axes = this.plan.inputs.get(name)?.axes;
      for (let axis = 1; axis < dims.length; axis++) {
        const dimension = axes?.get(axis);
        const bucket = dimension && bucketOf(dimension, dims[axis]!);
        shapeKey += bucket === undefined ? `${dims[axis]!},` : `to ${bucket},`;
      }
    }
    return shapeKey;
  }

  /** Whether these are of the same length, so that there is nothing to pad. */
  areAlike(parts: readonly Feeds[]): boolean {
    return [...this.plan.inputs].every(([name, { axes }]) =>
      [...axes.keys()].every((axis) =>
        parts.every((part) => part[name]!.dims[axis] === parts[0]![name]!.dims[axis]),
      ),
    );
  }

  /** Puts requests with the same key behind one another along dimension 0. */
  join(parts: readonly Feeds[]): Arrays {
    const lengths = this.#longestOf(parts);
    return joinRows(parts.map((part) => this.#pad(part, lengths)));
  }

  /**
   * Gives each of these requests its part of the outputs of their run, as long as it would be alone.
   * Undefined when an output is not of the size that they have together.
   */
  split(outputs: Feeds, parts: readonly Feeds[], sizes: readonly number[]): Arrays[] | undefined {
    const lengths = this.#longestOf(parts);
    for (const [name, axes] of this.plan.outputs) {
      const dims = outputs[name]?.dims;
      for (const [axis, dimension] of axes) if (dims?.[axis] !== lengths.get(dimension)) return undefined;
    }
    return splitRows(outputs, sizes)?.map((answer, index) =>
      this.#cut(answer, this.#longestOf([parts[index]!])),
    );
  }

  /** Of the inputs that are padded. */
  countElements(feeds: Feeds): number {
    let elements = 0;
    for (const name of this.plan.inputs.keys()) elements += feeds[name]!.data.length;
    return elements;
  }

  #pad(feeds: Feeds, lengths: Lengths): Arrays {
    return mapArrays(feeds, (array, name) => {
      const input = this.plan.inputs.get(name);
      return input ? resize(array, input.axes, lengths, input.value) : array;
    });
  }

  #cut(outputs: Feeds, lengths: Lengths): Arrays {
    return mapArrays(outputs, (array, name) => {
      const axes = this.plan.outputs.get(name);
      return axes ? resize(array, axes, lengths, 0) : array;
    });
  }

  #longestOf(parts: readonly Feeds[]): Lengths {
    const lengths = new Map<PaddedDimension, number>();
    for (const [name, { axes }] of this.plan.inputs) {
      for (const [axis, dimension] of axes) {
        if (!lengths.has(dimension)) {
          lengths.set(dimension, Math.max(...parts.map((part) => part[name]!.dims[axis]!)));
        }
      }
    }
    return lengths;
  }
}

/** By `auto`, whatever is as short shares runs. */
const smallest = 8;

/**
 * The length up to which requests share runs with those of this length; undefined for those that are as long as none or
 * longer than all. `auto` has four steps to each doubling, so that less than a fifth of a run is padding.
 */
function bucketOf({ buckets }: PaddedDimension, length: number): number | undefined {
  if (length === 0) return undefined;
  if (buckets !== 'auto') return buckets.find((bucket) => bucket >= length);
  if (length <= smallest) return smallest;
  const step = 2 ** (Math.ceil(Math.log2(length)) - 3);
  return Math.ceil(length / step) * step;
}

function mapArrays(arrays: Feeds, change: (array: NdArray, name: string) => NdArray): Arrays {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, change(array, name)]));
}

/** The array with these lengths along its axes: cut behind, or filled up there with `value`. */
function resize(array: NdArray, axes: PaddedAxes, lengths: Lengths, value: number | bigint): NdArray {
  const { dtype, dims, data } = array;
  const wanted = dims.map((dim, axis) => {
    const dimension = axes.get(axis);
    return dimension ? lengths.get(dimension)! : dim;
  });
  if (wanted.every((dim, axis) => dim === dims[axis])) return array;
  const size = sizeOf(wanted);
  if (dtype === 'string') {
    const texts = new Array<string>(size).fill('');
    copyCorner(dims, wanted, (from, to, count) => {
      for (let index = 0; index < count; index++) texts[to + index] = (data as string[])[from + index]!;
    });
    return { dtype, dims: wanted, data: texts };
  }
  const room = allocate(dtype, size);
  if (Number(value) !== 0) room.fill(value as never);
  copyCorner(dims, wanted, (from, to, count) => {
    room.set((data as TypedArray).subarray(from, from + count) as never, to);
  });
  return { dtype, dims: wanted, data: room as never };
}

/** What two row-major arrays have in common that begin at the same corner, as runs of elements that lie side by side in both. */
function copyCorner(
  from: readonly number[],
  to: readonly number[],
  copy: (from: number, to: number, count: number) => void,
  [fromAt, toAt] = [0, 0],
): void {
  if (from.every((dim, axis) => axis === 0 || dim === to[axis])) {
    copy(fromAt, toAt, Math.min(sizeOf(from), sizeOf(to)));
    return;
  }
  const [fromInner, toInner] = [from.slice(1), to.slice(1)];
  const [fromStep, toStep] = [sizeOf(fromInner), sizeOf(toInner)];
  for (let index = 0; index < Math.min(from[0]!, to[0]!); index++) {
    copyCorner(fromInner, toInner, copy, [fromAt + index * fromStep, toAt + index * toStep]);
  }
}
