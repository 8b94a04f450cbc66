import { describe, expect, it } from 'vitest';
import type { ConfigPath } from '../../../src/config/index.js';
import type { Dataset } from '../../../src/data/dataset.js';
import { MaasError } from '../../../src/errors.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { inferTypes } from '../../../src/ir/shapes.js';
import { numbersOf, type NdArray } from '../../../src/ir/tensor.js';
import { openSession } from '../../../src/runtime/session.js';
import { buildModel, type Draft } from '../../../src/stages/train/build-model.js';
import { activationNames } from '../../../src/stages/train/layers/activations.js';
import { layers, type LayerChoice, type LayerName } from '../../../src/stages/train/layers/index.js';
import { amountDataset, mixedDataset } from './datasets.js';

const layer = (name: LayerName, options: unknown = {}): LayerChoice => ({
  name,
  options: layers[name].options.parse(options),
});

const place = (path: ConfigPath) => ({ file: path.join('.') });
const build = (choices: readonly LayerChoice[], dataset: Dataset, seed = 1): Draft =>
  buildModel(choices, dataset, { seed, place });

async function run(
  draft: Draft,
  inputs: Readonly<Record<string, NdArray>>,
): Promise<Record<string, NdArray>> {
  const session = await openSession(encodeModel(draft.model));
  try {
    return await session.run(inputs);
  } finally {
    await session.close();
  }
}

type Matrix = readonly (readonly number[])[];

/** rows · kernel + bias, with the draft's weights. */
function applyDense(rows: Matrix, { model }: Draft, name: string): Matrix {
  const kernel = model.graph.initializers.get(`${name}/kernel`)!;
  const [values, bias] = [numbersOf(kernel), numbersOf(model.graph.initializers.get(`${name}/bias`)!)];
  const units = kernel.dims[1]!;
  return rows.map((row) =>
    bias.map((offset, unit) =>
      row.reduce((sum, x, index) => sum + x * values[index * units + unit]!, offset),
    ),
  );
}

function softmax(row: readonly number[]): number[] {
  const powers = row.map((value) => Math.exp(value - Math.max(...row)));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

describe('buildModel', () => {
  it('computes what the layers say, from raw features to labels', async () => {
    const draft = build(
      [
        layer('dense', { units: 5, activation: 'tanh', biasInitializer: 'randomNormal' }),
        layer('dropout', { rate: 0.4 }),
        layer('dense', { units: 4 }),
        layer('activation', 'relu'),
        layer('dense', { activation: 'softmax', biasInitializer: 'randomUniform' }),
      ],
      mixedDataset(),
    );
    const inputs: Record<string, NdArray> = {
      features: { dtype: 'float32', dims: [4, 2], data: Float32Array.of(1, 7, 5, 7, -3, 8, 100, 7) },
      colour: { dtype: 'string', dims: [4, 1], data: ['red', 'blue', 'never seen', ''] },
    };
    // (size − 3) / 2, then constant − 7 undivided, then one column each for blue and red.
    const encoded = [
      [-1, 0, 0, 1],
      [1, 0, 1, 0],
      [-3, 1, 0, 0],
      [48.5, 0, 0, 0],
    ];
    const hidden = applyDense(encoded, draft, 'dense_1').map((row) => row.map(Math.tanh));
    const second = applyDense(hidden, draft, 'dense_2').map((row) => row.map((value) => Math.max(0, value)));
    const expected = applyDense(second, draft, 'dense_3').map(softmax);

    const { label, probabilities } = await run(draft, inputs);
    expect(probabilities!.dims).toEqual([4, 3]);
    expected.flat().forEach((value, index) => {
      expect(probabilities!.data[index]).toBeCloseTo(value, 5);
    });
    const best = expected.map((row) => ['a', 'b', 'c'][row.indexOf(Math.max(...row))]);
    expect(label).toMatchObject({ dtype: 'string', dims: [4], data: best });
    expect(new Set(best).size).toBeGreaterThan(1);
  });

  it('gives amounts for a regression', async () => {
    const draft = build([layer('dense', { biasInitializer: 'ones' })], amountDataset());
    expect(draft.model.graph.outputs).toMatchObject([{ name: 'prediction', dtype: 'float32', shape: ['N'] }]);
    const { prediction } = await run(draft, {
      features: { dtype: 'float32', dims: [3, 1], data: Float32Array.of(1, 3, 5) },
    });
    const [slope] = numbersOf(draft.model.graph.initializers.get('dense_1/kernel')!);
    expect(prediction!.dims).toEqual([3]);
    const { mean, deviation } = draft.amounts!;
    Array.from(prediction!.data, Number).forEach((value, row) => {
      expect(value).toBeCloseTo(mean + deviation * (1 + (row - 1) * slope!), 4);
    });
  });

  it('gives amounts in standard deviations from their mean, unless an activation bounds them', () => {
    const data = amountDataset();
    const amounts = { mean: 4, deviation: Math.sqrt(8 / 3) };
    const draft = build([layer('dense', { biasInitializer: 'ones' })], data);
    expect(draft.amounts).toEqual(amounts);
    for (const bounded of [
      [layer('dense', { activation: 'relu' })],
      [layer('dense'), layer('activation', 'sigmoid')],
    ]) {
      expect(build(bounded, data).amounts).toBeUndefined();
    }
  });

  it('names what may be trained and what the loss looks at', () => {
    const draft = build([layer('dense', { units: 8, useBias: false }), layer('dense')], mixedDataset());
    expect(draft.trainable).toEqual(['dense_1/kernel', 'dense_2/kernel', 'dense_2/bias']);
    expect(draft.prediction).toBe('probabilities');
    const amounts = build([layer('dense')], amountDataset());
    expect(inferTypes(amounts.model).get(amounts.prediction)?.shape).toEqual(['N', 1]);
  });

  it('adds softmax once, wherever it is written', () => {
    const count = (choices: readonly LayerChoice[]): number =>
      build(choices, mixedDataset()).model.graph.nodes.filter(({ op }) => op === 'Softmax').length;
    expect(count([layer('dense')])).toBe(1);
    expect(count([layer('dense', { activation: 'softmax' })])).toBe(1);
    expect(count([layer('dense'), layer('activation', 'softmax')])).toBe(1);
  });

  it('states the types of its outputs', () => {
    const { outputs } = build([layer('dense')], mixedDataset()).model.graph;
    expect(outputs).toMatchObject([
      { name: 'label', dtype: 'string', shape: ['N'] },
      { name: 'probabilities', dtype: 'float32', shape: ['N', 3] },
    ]);
  });

  it('draws the same first weights from the same seed', () => {
    const choices = [layer('dense', { units: 6 }), layer('dense')];
    const bytes = (seed: number): Uint8Array => encodeModel(build(choices, mixedDataset(), seed).model);
    expect(bytes(1)).toEqual(bytes(1));
    expect(bytes(1)).not.toEqual(bytes(2));
  });

  it('takes text columns with the names of its own values', async () => {
    const dataset = mixedDataset();
    const rename = <T extends { name: string }>(part: T): T =>
      part.name === 'colour' ? { ...part, name: 'relu' } : part;
    const { signature } = dataset;
    const features = signature.features.map((each) =>
      each.input === 'colour' ? { ...each, input: 'relu' } : each,
    );
    const draft = build([layer('dense', { units: 3, activation: 'relu' }), layer('dense')], {
      ...dataset,
      signature: { ...signature, features, inputs: signature.inputs.map(rename) },
    });
    const { label } = await run(draft, {
      features: { dtype: 'float32', dims: [1, 2], data: Float32Array.of(1, 7) },
      relu: { dtype: 'string', dims: [1, 1], data: ['red'] },
    });
    expect(label!.dims).toEqual([1]);
  });

  it.each<[string, LayerChoice[], () => Dataset, string, string, string]>([
    [
      'units that are not the classes',
      [layer('dense', { units: 8 }), layer('dense', { units: 4 })],
      mixedDataset,
      'the last layer, train.model.layers[1].dense, has 4 units: the data has 3 classes (a, b, c)',
      'Write units: 3, or leave units out.',
      'train.model.layers.1.dense.units',
    ],
    [
      'units for more than one amount',
      [layer('dense', { units: 2 })],
      amountDataset,
      'the last layer, train.model.layers[0].dense, has 2 units: the data has one amount to predict',
      'Write units: 1, or leave units out.',
      'train.model.layers.0.dense.units',
    ],
    [
      'sigmoid for classes',
      [layer('dense', { activation: 'sigmoid' })],
      mixedDataset,
      'the last layer, train.model.layers[0].dense, ends in sigmoid: probabilities of classes come from softmax alone',
      'Write activation: softmax, or leave activation out.',
      'train.model.layers.0.dense.activation',
    ],
    [
      'relu before softmax',
      [layer('dense', { activation: 'relu' }), layer('activation', 'softmax')],
      mixedDataset,
      'the last layer, train.model.layers[0].dense, ends in relu and softmax: probabilities of classes come from softmax alone',
      'Write activation: softmax, or leave activation out.',
      'train.model.layers.1',
    ],
    [
      'softmax for an amount',
      [layer('dense', { activation: 'softmax' })],
      amountDataset,
      'the last layer, train.model.layers[0].dense, ends in softmax: an amount is no probability',
      'Write activation: linear, or leave activation out.',
      'train.model.layers.0.dense.activation',
    ],
  ])('refuses %s', (_, choices, dataset, message, hint, file) => {
    const attempt = (): Draft => build(choices, dataset());
    expect(attempt).toThrow(MaasError);
    expect(attempt).toThrow(
      expect.objectContaining({ code: 'MAAS_MODEL_SHAPE', message, hint, place: { file } }) as Error,
    );
  });
});

describe('activations', () => {
  const erf = (x: number): number => {
    // Maclaurin series; enough terms for |x| ≤ 2.
    let [term, sum] = [x, x];
    for (let n = 1; n < 60; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  };
  const formulas: Record<string, (x: number) => number> = {
    linear: (x) => x,
    relu: (x) => Math.max(0, x),
    leakyRelu: (x) => (x < 0 ? 0.2 * x : x),
    elu: (x) => (x < 0 ? Math.expm1(x) : x),
    selu: (x) => 1.05070098 * (x < 0 ? 1.67326324 * Math.expm1(x) : x),
    gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    relu6: (x) => Math.min(6, Math.max(0, x)),
    exponential: Math.exp,
    mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
    hardSilu: (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5)),
    silu: (x) => x / (1 + Math.exp(-x)),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    hardSigmoid: (x) => Math.min(1, Math.max(0, x / 6 + 0.5)),
    tanh: Math.tanh,
    softplus: (x) => Math.log1p(Math.exp(x)),
    softsign: (x) => x / (1 + Math.abs(x)),
  };

  it.each(activationNames.filter((name) => name !== 'softmax'))('%s is that of Keras', async (name) => {
    const draft = build([layer('dense', { activation: name, kernelInitializer: 'ones' })], amountDataset());
    const raw = [-4, -1, 1, 2.5, 3, 3.1, 4, 6];
    const { prediction } = await run(draft, {
      features: { dtype: 'float32', dims: [raw.length, 1], data: Float32Array.from(raw) },
    });
    const { mean, deviation } = draft.amounts ?? { mean: 0, deviation: 1 };
    raw.forEach((value, index) => {
      const given = (Number(prediction!.data[index]) - mean) / deviation;
      expect(given).toBeCloseTo(formulas[name]!((value - 3) / 2), 5);
    });
  });
});
