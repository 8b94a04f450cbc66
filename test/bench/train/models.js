// The models of `npm run bench:train`, in words that both sides build the same network from.

/** `steps` is how many each round makes, in epochs of `rows` / `batch` steps. */
export const models = {
  // Pixels, two hidden layers, ten classes: 235 146 weights.
  mlp: {
    input: [784],
    layers: [['dense', 256], ['relu'], ['dense', 128], ['relu'], ['dense', 10]],
    classes: 10,
    batch: 64,
    rows: 6400,
    epochs: 6,
  },
  // The same with 10 million weights, where the optimizer's traffic counts.
  'mlp-10m': {
    input: [784],
    layers: [['dense', 2048], ['relu'], ['dense', 2048], ['relu'], ['dense', 2048], ['relu'], ['dense', 10]],
    classes: 10,
    batch: 64,
    rows: 640,
    epochs: 2,
  },
  // Two convolutions with pooling, and a dense head.
  cnn: {
    input: [1, 28, 28],
    layers: [['conv', 16], ['relu'], ['pool'], ['conv', 32], ['relu'], ['pool'], ['flatten'], ['dense', 10]],
    classes: 10,
    batch: 64,
    rows: 1280,
    epochs: 2,
  },
};

/** Shapes of weights and biases, in order, as they are in the ONNX graph: dense [in, out], conv [out, in, 3, 3]. */
export function shapesOf({ input, layers }) {
  let shape = input;
  return layers.flatMap(([kind, size]) => {
    switch (kind) {
      case 'dense': {
        const dims = [shape[0], size];
        shape = [size];
        return [dims, [size]];
      }
      case 'conv': {
        const dims = [size, shape[0], 3, 3];
        shape = [size, ...shape.slice(1)];
        return [dims, [size]];
      }
      case 'pool':
        shape = [shape[0], shape[1] / 2, shape[2] / 2];
        return [];
      case 'flatten':
        shape = [shape.reduce((product, dim) => product * dim)];
        return [];
      default:
        return [];
    }
  });
}
