/** As much of TensorFlow.js as operators are carried out with. The package is no dependency, so its own types are not there. */
export interface Tensor {
  readonly shape: number[];
  readonly dtype: DataType;
  readonly rank: number;
  dataSync(): Float32Array | Int32Array | Uint8Array;
  dispose(): void;
}

export type DataType = 'float32' | 'int32' | 'bool';

type Unary =
  | ('abs' | 'ceil' | 'cos' | 'elu' | 'erf' | 'exp' | 'floor' | 'isFinite' | 'isInf' | 'isNaN' | 'log')
  | ('logicalNot' | 'neg' | 'reciprocal' | 'relu' | 'round' | 'rsqrt' | 'selu' | 'sigmoid' | 'sign' | 'sin')
  | ('softplus' | 'sqrt' | 'square' | 'tanh' | 'keep' | 'clone' | 'zerosLike' | 'onesLike');
type Binary =
  | ('add' | 'div' | 'equal' | 'greater' | 'greaterEqual' | 'less' | 'lessEqual' | 'logicalAnd' | 'logicalOr')
  | ('logicalXor' | 'maximum' | 'minimum' | 'mod' | 'mul' | 'pow' | 'prelu' | 'sub');
type Reduction = 'max' | 'mean' | 'min' | 'prod' | 'sum' | 'logSumExp';
type Operand = Tensor | number;
type Pair = readonly [number, number];

export type Tf = Record<Unary, (x: Tensor) => Tensor> &
  Record<Binary, (a: Operand, b: Operand) => Tensor> &
  Record<Reduction, (x: Tensor, axes?: readonly number[], keepDims?: boolean) => Tensor> & {
    argMax(x: Tensor, axis: number): Tensor;
    broadcastTo(x: Tensor, shape: readonly number[]): Tensor;
    cast(x: Tensor, dtype: DataType): Tensor;
    clipByValue(x: Tensor, min: number, max: number): Tensor;
    concat(parts: readonly Tensor[], axis: number): Tensor;
    conv2d(x: Tensor, filter: Tensor, strides: Pair, pad: 'valid', format: 'NHWC', dilations: Pair): Tensor;
    conv2dTranspose(x: Tensor, filter: Tensor, outputShape: number[], strides: Pair, pad: 'valid'): Tensor;
    depthwiseConv2d(
      x: Tensor,
      filter: Tensor,
      strides: Pair,
      pad: 'valid',
      format: 'NHWC',
      dilations: Pair,
    ): Tensor;
    expandDims(x: Tensor, axis: number): Tensor;
    fill(shape: readonly number[], value: number, dtype?: DataType): Tensor;
    gather(x: Tensor, indices: Tensor, axis: number): Tensor;
    image: {
      /** @param x [N, H, W, C] */
      resizeBilinear(x: Tensor, size: Pair, alignCorners: boolean, halfPixelCenters: boolean): Tensor;
    };
    leakyRelu(x: Tensor, alpha: number): Tensor;
    matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
    maxPool(x: Tensor, size: Pair, strides: Pair, pad: 'valid'): Tensor;
    avgPool(x: Tensor, size: Pair, strides: Pair, pad: 'valid'): Tensor;
    oneHot(x: Tensor, depth: number): Tensor;
    pad(x: Tensor, sizes: readonly Pair[], value?: number): Tensor;
    reshape(x: Tensor, shape: readonly number[]): Tensor;
    slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
    softmax(x: Tensor): Tensor;
    logSoftmax(x: Tensor): Tensor;
    split(x: Tensor, sizes: readonly number[], axis: number): Tensor[];
    stack(parts: readonly Tensor[], axis: number): Tensor;
    tensor(data: Float32Array | Int32Array | Uint8Array, shape: readonly number[], dtype: DataType): Tensor;
    tile(x: Tensor, repeats: readonly number[]): Tensor;
    transpose(x: Tensor, order?: readonly number[]): Tensor;
    where(condition: Tensor, a: Tensor, b: Tensor): Tensor;
    /** Frees what the function made and does not give back. */
    tidy<T>(work: () => T): T;
    /** The function's value and its slopes along each of its arguments. */
    valueAndGrads(
      f: (...parameters: Tensor[]) => Tensor,
    ): (parameters: readonly Tensor[]) => { value: Tensor; grads: Tensor[] };
  };
