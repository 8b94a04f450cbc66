// The models of `npm run bench:train`, in words that both sides build the same network from.

const residual = (channels, stride = 1) => [
  'residual',
  [['conv', channels, 3, stride], ['norm'], ['relu'], ['conv', channels, 3, 1], ['norm']],
  stride === 1 ? [] : [['conv', channels, 1, stride], ['norm']],
];

const transformer = (width, heads) => [
  ['residual', [['layernorm'], ['attention', width, heads]], []],
  ['residual', [['layernorm'], ['dense', 4 * width], ['gelu'], ['dense', width]], []],
];

/** `rows` are trained on `epochs` times in each round. Images are [channels, height, width]; `vocabulary`: rows of words. */
export const models = {
  // Pixels, two hidden layers, ten classes: 235 146 weights.
  mlp: {
    input: [784],
    layers: [['dense', 256], ['relu'], ['dense', 128], ['relu'], ['dense', 10]],
    classes: 10,
    batch: 64,
    rows: 25_600,
    epochs: 4,
  },
  // The same with 10 million weights, where the optimizer's traffic counts.
  'mlp-10m': {
    input: [784],
    layers: [['dense', 2048], ['relu'], ['dense', 2048], ['relu'], ['dense', 2048], ['relu'], ['dense', 10]],
    classes: 10,
    batch: 64,
    rows: 2560,
    epochs: 1,
  },
  // Two convolutions with pooling, and a dense head.
  cnn: {
    input: [1, 28, 28],
    layers: [
      ['conv', 16, 3, 1],
      ['relu'],
      ['pool'],
      ['conv', 32, 3, 1],
      ['relu'],
      ['pool'],
      ['flatten'],
      ['dense', 10],
    ],
    classes: 10,
    batch: 64,
    rows: 5120,
    epochs: 2,
  },
  // Three stages of a residual block each, with batch normalization.
  resnet: {
    input: [3, 32, 32],
    layers: [
      ['conv', 16, 3, 1],
      ['norm'],
      ['relu'],
      residual(16),
      ['relu'],
      residual(32, 2),
      ['relu'],
      residual(64, 2),
      ['relu'],
      ['mean'],
      ['dense', 10],
    ],
    classes: 10,
    batch: 32,
    rows: 1280,
    epochs: 1,
  },
  // Four layers of width 128, 64 characters at a time: 0.8 million weights.
  gpt: {
    input: [64],
    vocabulary: 65,
    layers: [
      ['embedding', 128],
      ...transformer(128, 4),
      ...transformer(128, 4),
      ...transformer(128, 4),
      ...transformer(128, 4),
      ['layernorm'],
      ['dense', 65],
    ],
    classes: 65,
    batch: 16,
    rows: 640,
    epochs: 1,
  },
  // Sequences of 28 lines of 28 pixels, as in the usual exercise with handwritten digits.
  lstm: {
    input: [28, 28],
    layers: [
      ['lstm', 128],
      ['dense', 10],
    ],
    classes: 10,
    batch: 64,
    rows: 5120,
    epochs: 1,
  },
};

/**
 * Shapes of the weights, in the order in which layers take them, and how they begin: `scale` 0 is all zeros, 'one' all
 * ones. dense [in, out], conv [out, in, kernel, kernel], lstm as ONNX has it: gates i, o, f, c.
 */
export function weightsOf({ input, vocabulary, layers }) {
  const found = [];
  const add = (dims, scale) => found.push({ dims, scale });
  const matrix = (from, to) => {
    add([from, to], Math.sqrt(3 / from));
    add([to], 0);
  };
  const pair = (size) => {
    add([size], 'one');
    add([size], 0);
  };
  const walk = (list, start) => list.reduce((shape, layer) => step(layer, shape), start);
  const step = ([kind, ...args], shape) => {
    switch (kind) {
      case 'dense':
        matrix(shape.at(-1), args[0]);
        return [...shape.slice(0, -1), args[0]];
      case 'conv': {
        const [channels, kernel, stride] = args;
        add([channels, shape[0], kernel, kernel], Math.sqrt(3 / (shape[0] * kernel ** 2)));
        add([channels], 0);
        return [channels, ...shape.slice(1).map((size) => Math.ceil(size / stride))];
      }
      case 'pool':
        return [shape[0], shape[1] / 2, shape[2] / 2];
      case 'mean':
        return [shape[0]];
      case 'flatten':
        return [shape.reduce((product, dim) => product * dim)];
      case 'norm':
        pair(shape[0]);
        return shape;
      case 'layernorm':
        pair(shape.at(-1));
        return shape;
      case 'residual':
        walk(args[1], shape);
        return walk(args[0], shape);
      case 'embedding':
        add([vocabulary, args[0]], 0.05);
        add([shape[0], args[0]], 0.05);
        return [shape[0], args[0]];
      case 'attention':
        matrix(args[0], 3 * args[0]);
        matrix(args[0], args[0]);
        return shape;
      case 'lstm': {
        const scale = Math.sqrt(1 / args[0]);
        add([1, 4 * args[0], shape.at(-1)], scale);
        add([1, 4 * args[0], args[0]], scale);
        add([1, 8 * args[0]], scale);
        return [args[0]];
      }
      default:
        return shape;
    }
  };
  walk(layers, input);
  return found;
}
