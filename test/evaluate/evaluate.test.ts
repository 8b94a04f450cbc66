import { beforeAll, describe, expect, it } from 'vitest';
import type { Table } from '../../src/data/dataset.js';
import { compare, evaluate, predict, type Predictions } from '../../src/evaluate/index.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { classes, classifier, flowers, labels, regressor, signatureOf, tableOf } from './models.js';

describe('a classifier', () => {
  const model = encodeModel(classifier(16));
  const signature = signatureOf('classification');
  const features = flowers(50);
  const unlabelled = tableOf({ features }, classes(new Array<number>(50).fill(0)));
  let predictions: Predictions;
  let table: Table;
  beforeAll(async () => {
    predictions = await predict(model, unlabelled, signature);
    table = tableOf({ features }, classes(predictions.labels.map((label) => labels.indexOf(label))));
  });

  it('is right about its own predictions', async () => {
    const figures = await evaluate(model, table, signature);
    expect(figures['accuracy']).toBe(1);
    expect(figures['logLoss']).toBeGreaterThan(0);
    expect(Object.keys(figures).filter((name) => name.startsWith('recall.')).length).toBeGreaterThan(1);
  });

  it('loses accuracy with each wrong label', async () => {
    const wrong = predictions.labels.map((label, row) => (labels.indexOf(label) + (row < 10 ? 1 : 0)) % 3);
    const figures = await evaluate(model, tableOf({ features }, classes(wrong)), signature);
    expect(figures['accuracy']).toBeCloseTo(0.8);
  });

  it('gives the same predictions whatever the batch size', async () => {
    for (const batchSize of [1, 7, 50]) {
      const again = await predict(model, table, signature, { batchSize });
      expect(again.labels).toEqual(predictions.labels);
      expect(compare(predictions, again)['signalToNoise']).toBeGreaterThan(120);
    }
  });

  it('is compared with another', async () => {
    expect(compare(predictions, predictions)).toEqual({ agreement: 1, signalToNoise: Infinity });
    const other = await predict(encodeModel(classifier(16, 7)), table, signature);
    expect(compare(predictions, other)['agreement']).toBeLessThan(1);
  });

  it('must give the outputs its signature states', async () => {
    await expect(evaluate(encodeModel(regressor(8)), table, signature)).rejects.toMatchObject({
      code: 'MAAS_MODEL_INVALID',
      message: 'the model gives no output label; it gives prediction',
    });
  });
});

it('a regressor is measured by its errors', async () => {
  const model = encodeModel(regressor(16));
  const signature = signatureOf('regression');
  const features = flowers(20);
  const blank = tableOf({ features }, { dtype: 'float32', dims: [20, 1], data: new Float32Array(20) });
  const { values, labels: none } = await predict(model, blank, signature);
  expect(none).toEqual([]);
  const exact = tableOf({ features }, { dtype: 'float32', dims: [20, 1], data: values });
  expect(await evaluate(model, exact, signature)).toMatchObject({ mse: 0, mae: 0, r2: 1 });
  const shifted = values.map((value) => value + 0.5);
  const off = await evaluate(
    model,
    tableOf({ features }, { dtype: 'float32', dims: [20, 1], data: shifted }),
    signature,
  );
  expect(off['mse']).toBeCloseTo(0.25, 4);
});
