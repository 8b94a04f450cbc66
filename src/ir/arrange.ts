import { sizeOf, type NdArray } from './tensor.js';

/** The array with its axes in another order: axis i of the result is axis `perm[i]` of the array. */
export function permuteAxes(array: NdArray<'float32'>, perm: readonly number[]): NdArray<'float32'> {
  const { dims, data } = array;
  const strides = dims.map((_, axis) => sizeOf(dims.slice(axis + 1)));
  const sizes = perm.map((axis) => dims[axis]!);
  const steps = perm.map((axis) => strides[axis]!);
  const result = new Float32Array(data.length);
  const place = sizes.map(() => 0);
  let from = 0;
  for (let at = 0; at < result.length; at++) {
    result[at] = data[from]!;
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++place[axis]! < sizes[axis]!) break;
      from -= steps[axis]! * sizes[axis]!;
      place[axis] = 0;
    }
  }
  return { dtype: 'float32', dims: sizes, data: result };
}
