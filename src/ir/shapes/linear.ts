import { numberAttribute, numbersAttribute, stringAttribute, type Dim } from '../graph.js';
import type { DType } from '../tensor.js';
import { broadcast, typed, type Shape, type ShapeRule, type ShapeRules, type Site } from './rule.js';

/** Shape of a matrix product, as numpy's matmul: vectors are lifted, leading axes broadcast. */
function multiply(site: Site, left: Shape, right: Shape): Dim[] | undefined {
  if (!left || !right || left.length === 0 || right.length === 0) return undefined;
  const a = left.length === 1 ? [1, ...left] : left;
  const b = right.length === 1 ? [...right, 1] : right;
  const batch = broadcast([a.slice(0, -2), b.slice(0, -2)], (axis) => `${site.fresh(0)}${axis}`)!;
  return [
    ...batch,
    ...(left.length === 1 ? [] : [a[a.length - 2]!]),
    ...(right.length === 1 ? [] : [b[b.length - 1]!]),
  ];
}

const product =
  (dtype: (site: Site) => DType | undefined, right = 1): ShapeRule =>
  (site) =>
    typed(dtype(site), multiply(site, site.shape(0), site.shape(right)));

function swapLast(shape: Shape, swap: boolean): Shape {
  if (!shape || !swap || shape.length < 2) return shape;
  return [...shape.slice(0, -2), shape[shape.length - 1]!, shape[shape.length - 2]!];
}

/** Size of one spatial axis after a window (kernel, stride, dilation, padding) went over it. */
function slide(site: Site, axis: number, size: Dim, kernel: Dim): Dim {
  const at = (name: string, index: number, otherwise: number) =>
    numbersAttribute(site.node, name)?.[index] ?? otherwise;
  const stride = at('strides', axis, 1);
  if (typeof size !== 'number' || typeof kernel !== 'number') return site.fresh(axis + 2);
  const mode = stringAttribute(site.node, 'auto_pad', 'NOTSET');
  if (mode.startsWith('SAME')) return Math.ceil(size / stride);
  const rank = (site.shape(0)?.length ?? 2) - 2;
  const pads = mode === 'VALID' ? 0 : at('pads', axis, 0) + at('pads', axis + rank, 0);
  const steps = (size + pads - at('dilations', axis, 1) * (kernel - 1) - 1) / stride;
  const ceil = numberAttribute(site.node, 'ceil_mode', 0) === 1;
  return (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
}

const convolve =
  (dtype: (site: Site) => DType | undefined, kernelInput = 1): ShapeRule =>
  (site) => {
    const [x, w] = [site.shape(0), site.shape(kernelInput)];
    if (!x || !w) return typed(dtype(site), undefined);
    const kernel = numbersAttribute(site.node, 'kernel_shape') ?? w.slice(2);
    const spatial = x.slice(2).map((size, axis) => slide(site, axis, size, kernel[axis]!));
    return typed(dtype(site), [x[0]!, w[0]!, ...spatial]);
  };

const pool: ShapeRule = (site) => {
  const x = site.shape(0);
  const kernel = numbersAttribute(site.node, 'kernel_shape');
  if (!x || !kernel) return [site.dtype(0) && { dtype: site.dtype(0)!, shape: undefined }];
  const shape = [...x.slice(0, 2), ...x.slice(2).map((size, axis) => slide(site, axis, size, kernel[axis]!))];
  return [...typed(site.dtype(0), shape), ...typed('int64', shape)];
};

const globalPool: ShapeRule = (site) =>
  typed(
    site.dtype(0),
    site.shape(0)?.map((dim, axis) => (axis < 2 ? dim : 1)),
  );

const transposedConvolution: ShapeRule = (site) => {
  const [x, w] = [site.shape(0), site.shape(1)];
  if (!x || !w) return typed(site.dtype(0), undefined);
  const at = (name: string, index: number, otherwise: number) =>
    numbersAttribute(site.node, name)?.[index] ?? otherwise;
  const rank = x.length - 2;
  const given = numbersAttribute(site.node, 'output_shape');
  const same = stringAttribute(site.node, 'auto_pad', 'NOTSET').startsWith('SAME');
  const spatial = x.slice(2).map((size, axis): Dim => {
    const kernel = numbersAttribute(site.node, 'kernel_shape')?.[axis] ?? w[axis + 2]!;
    if (given) return given.length === rank ? given[axis]! : given[axis + 2]!;
    if (typeof size !== 'number' || typeof kernel !== 'number') return site.fresh(axis + 2);
    const stride = at('strides', axis, 1);
    if (same) return size * stride;
    const pads = at('pads', axis, 0) + at('pads', axis + rank, 0);
    return (
      stride * (size - 1) + at('output_padding', axis, 0) + (kernel - 1) * at('dilations', axis, 1) + 1 - pads
    );
  });
  const group = numberAttribute(site.node, 'group', 1);
  const channels = typeof w[1] === 'number' ? w[1] * group : site.fresh(1);
  return typed(site.dtype(0), [x[0]!, channels, ...spatial]);
};

export const linear: ShapeRules = {
  Gemm: (site) => {
    const a = swapLast(site.shape(0), numberAttribute(site.node, 'transA', 0) === 1);
    const b = swapLast(site.shape(1), numberAttribute(site.node, 'transB', 0) === 1);
    return typed(site.dtype(0), a && b && [a[0]!, b[1]!]);
  },
  MatMul: product((site) => site.dtype(0)),
  MatMulInteger: product(() => 'int32'),
  QLinearMatMul: product((site) => site.dtype(7), 3),
  'com.microsoft:DynamicQuantizeMatMul': product((site) => site.dtype(0)),
  'com.microsoft:MatMulIntegerToFloat': product((site) => site.dtype(2)),
  'com.microsoft:FusedMatMul': (site) => {
    const a = swapLast(site.shape(0), numberAttribute(site.node, 'transA', 0) === 1);
    const b = swapLast(site.shape(1), numberAttribute(site.node, 'transB', 0) === 1);
    return typed(site.dtype(0), multiply(site, a, b));
  },
  Conv: convolve((site) => site.dtype(0)),
  ConvInteger: convolve(() => 'int32'),
  QLinearConv: convolve((site) => site.dtype(7), 3),
  ConvTranspose: transposedConvolution,
  MaxPool: pool,
  AveragePool: (site) => pool(site).slice(0, 1),
  LpPool: (site) => pool(site).slice(0, 1),
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
};
