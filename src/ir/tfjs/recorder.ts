import { allocate, turn, type Values } from './folding.js';
import { set, type AttrValue, type NodeDef } from './graph-def.js';
import type { DataType, Tensor } from './tf.js';

/**
 * Stands in a shape for the number of rows, which is open until the model runs: a prime that no real size is a multiple
 * of, so that products with it can be told from other sizes.
 */
export const rows = 1_048_573;

/** True for the number of rows, and for products with it. */
export const isOpen = (size: number): boolean => size !== 0 && size % rows === 0;

/** True for lists of sizes of which one is open. Lists longer than any shape are no sizes. */
export const areSizes = (values: Values): boolean =>
  values instanceof Int32Array && values.length <= 8 && values.some(isOpen);

/** A value of a graph that is being written down. */
export interface Traced extends Tensor {
  /** Where it is known beforehand. */
  readonly values: Values | undefined;
  /** What nodes read; written down when it is first asked for, so that what nobody reads is left out. */
  readonly ref: () => string;
  /** The value is `from` with axis i taken from axis `order[i]`. */
  readonly turned?: { readonly from: Traced; readonly order: readonly number[] };
  /** The value repeats this one along axes of size 1. */
  readonly spread?: Traced;
}

/** A constant of the graph, whose elements are in a file of their own. */
export interface Weight {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly values: Values;
}

/** Writes down a graph of TensorFlow, operation by operation. */
export class Recorder {
  readonly nodes: NodeDef[] = [];
  readonly weights: Weight[] = [];
  /** What names of new nodes begin with. */
  scope = '';
  readonly #names = new Set<string>();
  readonly #shared = new Map<string, Traced>();
  #rows: Traced | undefined;

  /** Declares an input. Sizes may be open. */
  input(name: string, dtype: DataType, shape: readonly number[]): Traced {
    const sizes = shape.map((size) => (isOpen(size) ? -1 : size));
    const ref = this.#add('Placeholder', [], { dtype: set.type(dtype), shape: set.shape(sizes) }, name);
    const traced = this.#value(dtype, shape, () => ref);
    const axis = shape.indexOf(rows);
    if (axis >= 0) this.#rows ??= this.#sizeOf(traced, axis);
    return traced;
  }

  /** What an operation gives. It is written down when somebody reads it. */
  node(
    op: string,
    inputs: readonly Traced[],
    shape: readonly number[],
    dtype: DataType,
    attr: Readonly<Record<string, AttrValue>> = {},
  ): Traced {
    const { scope } = this;
    let name: string | undefined;
    const write = (): string =>
      (name ??= this.#add(
        op,
        inputs.map((input) => input.ref()),
        attr,
        scope === '' ? op : `${scope}/${op}`,
      ));
    return this.#value(dtype, shape, write);
  }

  /** Declares an output. @returns the name of its node. */
  output(name: string, x: Traced): string {
    return this.#add('Identity', [x.ref()], { T: set.type(x.dtype) }, name);
  }

  /** A constant. Small ones that are equal are shared. */
  constant(values: Values, shape: readonly number[], dtype: DataType): Traced {
    const key = values.length <= 16 ? `${dtype} ${shape.join()}: ${values.join()}` : undefined;
    const known = key === undefined ? undefined : this.#shared.get(key);
    if (known) return known;
    const { scope } = this;
    let name: string | undefined;
    const ref = (): string => {
      if (name !== undefined) return name;
      // Sizes that depend on the rows are told by the graph itself.
      if (areSizes(values)) return (name = this.#sizes(values, shape));
      name = this.#add('Const', [], { dtype: set.type(dtype) }, scope === '' ? 'Const' : `${scope}/Const`);
      this.weights.push({ name, dtype, shape, values });
      return name;
    };
    const traced = this.#value(dtype, shape, ref, values);
    if (key !== undefined) this.#shared.set(key, traced);
    return traced;
  }

  scalar(value: number, dtype: DataType): Traced {
    const values = allocate(dtype, 1);
    values[0] = value;
    return this.constant(values, [], dtype);
  }

  /** Whole numbers: sizes, some of which may be open, axes. */
  ints(values: readonly number[]): Traced {
    return this.constant(Int32Array.from(values), [values.length], 'int32');
  }

  /** A value whose axes lie in another order, which is undone where the next operation turns it back. */
  turn(x: Traced, order: readonly number[]): Traced {
    const from = x.turned?.from ?? x;
    const whole = order.map((axis) => x.turned?.order[axis] ?? axis);
    if (whole.every((axis, at) => axis === at)) return from;
    const shape = whole.map((axis) => from.shape[axis]!);
    if (from.values)
      return this.constant(turn(from.values, from.dtype, from.shape, whole), shape, from.dtype);
    const { ref } = this.node('Transpose', [from, this.ints(whole)], shape, from.dtype);
    return { ...this.#value(from.dtype, shape, ref), turned: { from, order: whole } };
  }

  /** A value that repeats another one. */
  spread(x: Traced, shape: readonly number[]): Traced {
    const { ref } = this.node('BroadcastTo', [x, this.ints(shape)], shape, x.dtype);
    return { ...this.#value(x.dtype, shape, ref), spread: x };
  }

  #value(dtype: DataType, shape: readonly number[], ref: () => string, values?: Values): Traced {
    const dataSync = (): Values => {
      if (values && !areSizes(values)) return values;
      throw new OpenValueError();
    };
    return { dtype, shape: [...shape], rank: shape.length, dataSync, dispose: () => undefined, ref, values };
  }

  #add(op: string, input: readonly string[], attr: NodeDef['attr'], stem: string): string {
    const plain = stem.replaceAll(/[^A-Za-z0-9_.\\/-]/g, '_').replace(/^[^A-Za-z0-9.]/, 'x$&');
    let name = plain;
    for (let count = 1; this.#names.has(name); count++) name = `${plain}_${count}`;
    this.#names.add(name);
    this.nodes.push({ name, op, input, attr });
    return name;
  }

  /** One size of a value, as a list. */
  #sizeOf(x: Traced, axis: number): Traced {
    const shape = this.node('Shape', [x], [x.rank], 'int32');
    return this.node('Slice', [shape, this.ints([axis]), this.ints([1])], [1], 'int32');
  }

  #sizes(values: Values, shape: readonly number[]): string {
    const open = this.#rows!;
    const parts = Array.from(values, (value) => {
      if (!isOpen(value)) return this.ints([value]);
      return value === rows ? open : this.node('Mul', [open, this.ints([value / rows])], [1], 'int32');
    });
    const list =
      parts.length === 1
        ? parts[0]!
        : this.node('ConcatV2', [...parts, this.scalar(0, 'int32')], [parts.length], 'int32', {
            N: set.int(parts.length),
          });
    if (shape.length === 1) return list.ref();
    return this.node('Reshape', [list, this.ints(shape)], shape, 'int32').ref();
  }
}

/** Something has to be known beforehand that is only known when the model runs. */
export class OpenValueError extends Error {}
