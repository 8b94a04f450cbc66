import { describe, expect, it } from 'vitest';
import { importKeras } from '../../../src/ir/keras/load.js';
import { kerasCases, tfjsVersion } from './fixtures.js';
import { expectNear, runModel } from './predict.js';

describe(`equals what TensorFlow.js ${tfjsVersion} predicts`, () => {
  it.each(kerasCases.map((one) => [one.name, one] as const))('%s', async (_name, one) => {
    const model = importKeras(one.artifacts);
    expectNear(await runModel(model, one.inputs), one.outputs);
    // What follows can be built on shapes that are known.
    const shapes = model.graph.outputs.map(({ shape }) => shape);
    expect(shapes).toEqual(one.outputs.map(({ dims }) => ['N', ...dims.slice(1)]));
  });
});
