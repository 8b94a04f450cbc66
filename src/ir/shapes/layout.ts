import { numberAttribute, numbersAttribute, stringAttribute, type Dim, type ValueType } from '../graph.js';
import { isFileRange, numbersOf } from '../tensor.js';
import { dtypeAttribute, same } from './elementwise.js';
import {
  broadcast,
  elementsOf,
  fromFront,
  productOf,
  typed,
  type Shape,
  type ShapeRule,
  type ShapeRules,
  type Site,
} from './rule.js';

/** Dims for a shape that is computed: known elements, or names when only the rank is known. */
function shapeFrom(site: Site, index: number): Dim[] | undefined {
  const elements = site.elements(index);
  if (elements) return elements.map((element, axis) => (element === -1 ? site.fresh(axis) : element));
  const length = site.shape(index)?.[0];
  return typeof length === 'number' ? site.freshShape(length) : undefined;
}

function reshaped(site: Site): Dim[] | undefined {
  const from = site.shape(0);
  const wanted = site.has(1) ? site.elements(1) : numbersAttribute(site.node, 'shape');
  if (!wanted) return shapeFrom(site, 1);
  const zeroIsZero = numberAttribute(site.node, 'allowzero', 0) === 1;
  const target = wanted.map((dim, axis): Dim =>
    dim === 0 && !zeroIsZero ? (from?.[axis] ?? site.fresh(axis)) : dim,
  );
  if (!target.includes(-1)) return target;
  return target.map((dim, axis) => (dim === -1 ? (leftOver(from, target) ?? site.fresh(axis)) : dim));
}

/** A dim that is a multiple of a name is called `64·N`, so that it is the same wherever it comes up. */
function factorsOf(dim: Dim): { readonly factor: number; readonly name?: string } {
  if (typeof dim === 'number') return { factor: dim };
  const multiple = /^(\d+)·(.+)$/s.exec(dim);
  return multiple ? { factor: Number(multiple[1]), name: multiple[2]! } : { factor: 1, name: dim };
}

/** What the −1 of a Reshape stands for: the sizes of `from` that the other dims do not account for. */
function leftOver(from: Shape, target: readonly Dim[]): Dim | undefined {
  if (!from) return undefined;
  let size = 1;
  const names: string[] = [];
  for (const { factor, name } of from.map(factorsOf)) {
    size *= factor;
    if (name !== undefined) names.push(name);
  }
  for (const { factor, name } of target.filter((dim) => dim !== -1).map(factorsOf)) {
    size /= factor;
    if (name === undefined) continue;
    if (!names.includes(name)) return undefined;
    names.splice(names.indexOf(name), 1);
  }
  if (names.length === 0) return size;
  if (names.length > 1 || !Number.isInteger(size) || size === 0) return undefined;
  return size === 1 ? names[0] : `${size}·${names[0]!}`;
}

const squeeze: ShapeRule = (site) => {
  const shape = site.shape(0);
  const axes = site.axes(1);
  if (!shape || axes === 'unknown') return typed(site.dtype(0), undefined);
  if (!axes && shape.some((dim) => typeof dim === 'string')) return typed(site.dtype(0), undefined);
  const gone = axes?.map((axis) => fromFront(axis, shape.length));
  const rest = shape.filter((dim, axis) => (gone ? !gone.includes(axis) : dim !== 1));
  return typed(site.dtype(0), rest, site.elements(0));
};

const unsqueeze: ShapeRule = (site) => {
  const shape = site.shape(0);
  const axes = site.axes(1);
  if (!shape || !axes || axes === 'unknown') return typed(site.dtype(0), undefined);
  const rank = shape.length + axes.length;
  const added = new Set(axes.map((axis) => fromFront(axis, rank)));
  let next = 0;
  const result = Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : shape[next++]!));
  return typed(site.dtype(0), result, rank <= 1 ? site.elements(0) : undefined);
};

const concat: ShapeRule = (site) => {
  const shapes = site.node.inputs.map((_, index) => site.shape(index));
  const dtype = site.dtype(0);
  const first = shapes.find((shape) => shape !== undefined);
  if (!first) return typed(dtype, undefined);
  const axis = fromFront(numberAttribute(site.node, 'axis', 1), first.length);
  const along = shapes.map((shape) => shape?.[axis]);
  const sizes = along.every((size) => typeof size === 'number') ? along : undefined;
  const result = first.map((dim, index) => {
    if (index === axis) return sizes ? sizes.reduce((sum, size) => sum + size, 0) : site.fresh(axis);
    // A number that any of the inputs knows is worth more than a name.
    return shapes.map((shape) => shape?.[index]).find((other) => typeof other === 'number') ?? dim;
  });
  const parts = site.node.inputs.map((_, index) => site.elements(index));
  const elements = first.length === 1 && parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  return typed(dtype, result, elements);
};

const split: ShapeRule = (site) => {
  const shape = site.shape(0);
  const count = site.node.outputs.length;
  if (!shape) return site.node.outputs.map(() => typed(site.dtype(0), undefined)[0]);
  const axis = fromFront(numberAttribute(site.node, 'axis', 0), shape.length);
  const size = shape[axis]!;
  const stated = site.has(1) ? site.numbers(1) : numbersAttribute(site.node, 'split');
  const each = typeof size === 'number' && !site.has(1) ? Math.ceil(size / count) : undefined;
  return site.node.outputs.map((_, output) => {
    const even =
      each === undefined ? undefined : output < count - 1 ? each : (size as number) - each * (count - 1);
    const part = stated?.[output] ?? even ?? site.fresh(axis, output);
    return typed(
      site.dtype(0),
      shape.map((dim, index) => (index === axis ? part : dim)),
    )[0];
  });
};

/** First element, number of elements and step of a slice over an axis of `size`. */
export function sliceRange(
  size: number,
  start: number,
  end: number,
  step: number,
): { start: number; count: number } {
  const clamp = (at: number, low: number, high: number) =>
    Math.min(Math.max(at < 0 ? at + size : at, low), high);
  const first = step > 0 ? clamp(start, 0, size) : clamp(start, 0, size - 1);
  const last = step > 0 ? clamp(end, 0, size) : clamp(end, -1, size - 1);
  return { start: first, count: Math.max(0, Math.ceil((last - first) / step)) };
}

const slice: ShapeRule = (site) => {
  const shape = site.shape(0);
  const starts = site.has(1) ? site.numbers(1) : numbersAttribute(site.node, 'starts');
  const ends = site.has(2) ? site.numbers(2) : numbersAttribute(site.node, 'ends');
  const axes = site.has(3)
    ? site.numbers(3)
    : (numbersAttribute(site.node, 'axes') ?? starts?.map((_, i) => i));
  const steps = site.has(4) ? site.numbers(4) : starts?.map(() => 1);
  if (!shape) return typed(site.dtype(0), undefined);
  if (!starts || !ends || !axes || !steps) return typed(site.dtype(0), site.freshShape(shape.length));
  const result = [...shape];
  axes.forEach((given, index) => {
    const axis = fromFront(given, shape.length);
    const size = shape[axis]!;
    const [start, end, step] = [starts[index]!, ends[index]!, steps[index]!];
    if (typeof size === 'number') result[axis] = sliceRange(size, start, end, step).count;
    else if (!(start === 0 && step === 1 && end >= 2 ** 31 - 1)) result[axis] = site.fresh(axis);
  });
  const elements = site.elements(0);
  if (!elements || shape.length !== 1) return typed(site.dtype(0), result);
  const { start, count } = sliceRange(elements.length, starts[0]!, ends[0]!, steps[0]!);
  return typed(
    site.dtype(0),
    result,
    Array.from({ length: count }, (_, i) => elements[start + i * steps[0]!]!),
  );
};

const gather: ShapeRule = (site) => {
  const [shape, indices] = [site.shape(0), site.shape(1)];
  if (!shape || !indices) return typed(site.dtype(0), undefined);
  const axis = fromFront(numberAttribute(site.node, 'axis', 0), shape.length);
  const elements = site.elements(0);
  const picks = site.numbers(1);
  const picked = elements && picks?.map((pick) => elements[fromFront(pick, elements.length)]!);
  return typed(site.dtype(0), [...shape.slice(0, axis), ...indices, ...shape.slice(axis + 1)], picked);
};

const shapeOf: ShapeRule = (site) => {
  const shape = site.shape(0);
  if (!shape) return typed('int64', [site.fresh(0)]);
  const end = numberAttribute(site.node, 'end', shape.length);
  const part = shape.slice(numberAttribute(site.node, 'start', 0), end);
  return typed('int64', [part.length], part);
};

const constant: ShapeRule = (site) => {
  const { value, value_float, value_floats, value_int, value_ints, value_string, value_strings } =
    site.node.attributes;
  if (value?.type === 'tensor') return typed(value.value.dtype, value.value.dims, elementsOf(value.value));
  if (value_float) return typed('float32', []);
  if (value_string) return typed('string', []);
  if (value_int?.type === 'int') return typed('int64', [], [Number(value_int.value)]);
  if (value_ints?.type === 'ints') {
    return typed('int64', [value_ints.value.length], value_ints.value.map(Number));
  }
  if (value_floats?.type === 'floats') return typed('float32', [value_floats.value.length]);
  if (value_strings?.type === 'strings') return typed('string', [value_strings.value.length]);
  return [undefined];
};

/** Factors by which a Resize scales each axis, or undefined when it states sizes or computes them. */
export function resizeScales(site: Site): number[] | undefined {
  const rank = site.shape(0)?.length;
  const scales = site.has(2) ? site.constantOf(site.node.inputs[2]!) : undefined;
  if (rank === undefined || !scales || scales.dims[0] === 0 || isFileRange(scales.data)) return undefined;
  return overAxes(site, numbersOf(scales), Array<number>(rank).fill(1));
}

/** What a Resize states for its axes, put in the places of what holds for the others. */
function overAxes<T>(site: Site, stated: readonly T[], all: readonly T[]): T[] {
  const axes = numbersAttribute(site.node, 'axes')?.map((axis) => fromFront(axis, all.length));
  return all.map((other, axis) => stated[axes ? axes.indexOf(axis) : axis] ?? other);
}

const resize: ShapeRule = (site) => {
  const shape = site.shape(0);
  const sizes = site.has(3) ? site.elements(3) : undefined;
  // Under another policy than 'stretch' the sizes are bounds.
  const stretched = stringAttribute(site.node, 'keep_aspect_ratio_policy', 'stretch') === 'stretch';
  if (!shape) return typed(site.dtype(0), sizes && stretched ? sizes : undefined);
  if (sizes && stretched) return typed(site.dtype(0), overAxes(site, sizes, shape));
  const scales = resizeScales(site);
  return typed(
    site.dtype(0),
    shape.map((dim, axis): Dim => {
      if (scales?.[axis] === 1) return dim;
      return scales && typeof dim === 'number' ? Math.floor(dim * scales[axis]!) : site.fresh(axis);
    }),
  );
};

/** DepthToSpace and back: [N, C, H, W] ↔ [N, C/b², H·b, W·b]. */
function blocks(site: Site, shrink: (size: number) => number): readonly (ValueType | undefined)[] {
  const factor = shrink(numberAttribute(site.node, 'blocksize', 1));
  return typed(
    site.dtype(0),
    site.shape(0)?.map((dim, axis) => {
      if (axis === 0) return dim;
      if (typeof dim !== 'number') return site.fresh(axis);
      return Math.round(axis === 1 ? dim * factor ** 2 : dim / factor);
    }),
  );
}

export const layout: ShapeRules = {
  Reshape: (site) => {
    const shape = reshaped(site);
    return typed(site.dtype(0), shape, shape && shape.length <= 1 ? site.elements(0) : undefined);
  },
  Flatten: (site) => {
    const shape = site.shape(0);
    if (!shape) return typed(site.dtype(0), site.freshShape(2));
    const axis = fromFront(numberAttribute(site.node, 'axis', 1), shape.length);
    const join = (dims: readonly Dim[], at: number): Dim => {
      const wide = dims.filter((dim) => dim !== 1);
      return leftOver(wide, []) ?? site.fresh(at);
    };
    return typed(site.dtype(0), [join(shape.slice(0, axis), 0), join(shape.slice(axis), 1)]);
  },
  Transpose: (site) => {
    const shape = site.shape(0);
    const perm = numbersAttribute(site.node, 'perm') ?? shape?.map((_, axis) => shape.length - 1 - axis);
    return typed(site.dtype(0), shape && perm?.map((axis) => shape[axis]!));
  },
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: (site) => typed(site.dtype(0), site.shape(1)),
  GatherND: (site) => {
    const [shape, indices] = [site.shape(0), site.shape(1)];
    const last = indices?.[indices.length - 1];
    if (!shape || !indices || typeof last !== 'number') return typed(site.dtype(0), undefined);
    const batch = numberAttribute(site.node, 'batch_dims', 0);
    return typed(site.dtype(0), [...indices.slice(0, -1), ...shape.slice(batch + last)]);
  },
  OneHot: (site) => {
    const indices = site.shape(0);
    if (!indices) return typed(site.dtype(2), undefined);
    const axis = fromFront(numberAttribute(site.node, 'axis', -1), indices.length + 1);
    const depth = site.elements(1)?.[0] ?? site.fresh(axis);
    return typed(site.dtype(2), [...indices.slice(0, axis), depth, ...indices.slice(axis)]);
  },
  Shape: shapeOf,
  Size: (site) => {
    const size = site.shape(0) && productOf(site.shape(0)!);
    return typed('int64', [], size === undefined ? undefined : [size]);
  },
  Constant: constant,
  ConstantOfShape: (site) => {
    const value = site.node.attributes['value'];
    return typed(value?.type === 'tensor' ? value.value.dtype : 'float32', shapeFrom(site, 0));
  },
  Expand: (site) => {
    const target = shapeFrom(site, 1);
    return typed(
      site.dtype(0),
      broadcast([site.shape(0), target], (axis) => `${site.fresh(0)}${axis}`),
    );
  },
  Tile: (site) => {
    const [shape, repeats] = [site.shape(0), site.numbers(1)];
    return typed(
      site.dtype(0),
      shape?.map((dim, axis) => {
        if (repeats?.[axis] === 1) return dim;
        return typeof dim === 'number' && repeats ? dim * repeats[axis]! : site.fresh(axis);
      }),
    );
  },
  Pad: (site) => {
    const shape = site.shape(0);
    if (!shape) return typed(site.dtype(0), undefined);
    const pads = site.has(1) ? site.numbers(1) : numbersAttribute(site.node, 'pads');
    const axes = site.has(3) ? site.numbers(3) : shape.map((_, axis) => axis);
    if (!pads || !axes) return typed(site.dtype(0), site.freshShape(shape.length));
    const result = [...shape];
    axes.forEach((given, index) => {
      const axis = fromFront(given, shape.length);
      const added = pads[index]! + pads[index + axes.length]!;
      const size = shape[axis]!;
      if (added !== 0) result[axis] = typeof size === 'number' ? size + added : site.fresh(axis);
    });
    return typed(site.dtype(0), result);
  },
  Range: (site) => {
    const [start, limit, step] = [0, 1, 2].map((index) => site.numbers(index)?.[0]);
    const known = start !== undefined && limit !== undefined && step !== undefined;
    return typed(site.dtype(0), [known ? Math.max(0, Math.ceil((limit - start) / step)) : site.fresh(0)]);
  },
  NonZero: (site) => typed('int64', [site.shape(0)?.length ?? site.fresh(0), site.fresh(1)]),
  RandomNormal: (site) =>
    typed(dtypeAttribute(site, 'dtype', 'float32'), numbersAttribute(site.node, 'shape')),
  RandomUniform: (site) =>
    typed(dtypeAttribute(site, 'dtype', 'float32'), numbersAttribute(site.node, 'shape')),
  Resize: resize,
  DepthToSpace: (site) => blocks(site, (size) => 1 / size),
  SpaceToDepth: (site) => blocks(site, (size) => size),
  ReverseSequence: same,
};
