import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { valuesOf } from '../../../src/ir/tensor.js';
import { classifier, regressor } from '../../evaluate/models.js';
import { makeCompressBench, passOf, scaleWeights } from './bench.js';

const open = {
  latency: { maxRatio: 100 },
  accuracy: { maxDrop: 1 },
  error: { maxIncrease: 1e9 },
  size: { maxRatio: 2 },
};

describe('passes that train', () => {
  it('fit what is left after units went', async () => {
    const bench = await makeCompressBench(classifier(32));
    const accuracy = async (options: object): Promise<number> => {
      const [, { metrics }] = (await bench.run({ passes: [{ pruneUnits: options }], gates: open })) as [
        unknown,
        { metrics: { accuracy: number } },
      ];
      return metrics.accuracy;
    };
    const cut = { ratio: 0.85, multiple: 1, repair: false };
    const plain = await accuracy(cut);
    const fitted = await accuracy({
      ...cut,
      iterations: 2,
      fineTune: { epochs: 8, learningRate: 0.01 },
    });
    expect(plain).toBeLessThan(0.9);
    expect(fitted).toBeGreaterThan(plain + 0.03);
  });

  it('leave pruned weights at 0', async () => {
    const bench = await makeCompressBench(regressor(32), 'regression');
    const run = async (fineTune?: object): Promise<{ r2: number; zeros: number[] }> => {
      const options = { sparsity: 0.8, minElements: 1, ...(fineTune && { fineTune, iterations: 2 }) };
      const [, outcome] = await bench.run({ passes: [{ prune: options }], gates: open });
      const { graph } = await loadModel(join(outcome!.artifact!, 'model.onnx'));
      const zeros = ['weight0', 'weight1'].map((name) => {
        const values = valuesOf(graph.initializers.get(name)!) as Float32Array;
        return values.filter((value) => value === 0).length / values.length;
      });
      return { r2: outcome!.metrics['r2'] as number, zeros };
    };
    const plain = await run();
    const fitted = await run({ epochs: 6, learningRate: 0.01 });
    expect(fitted.zeros.map((share) => share.toFixed(1))).toEqual(['0.8', '0.8']);
    expect(fitted.r2).toBeGreaterThan(plain.r2 + 0.05);
  });

  it('get back with the rounding in place what rounding loses', async () => {
    // Columns of very different sizes, which one scale for all of them cannot hold.
    const factor = (unit: number): number => 60 ** ((unit % 5) / 4);
    const uneven = passOf('uneven', (model) =>
      scaleWeights(model, {
        weight0: (at) => factor(at % 32),
        bias0: factor,
        weight1: (at) => 1 / factor(Math.floor(at / 32)),
      }),
    );
    const bench = await makeCompressBench(regressor(32), 'regression', [uneven]);
    /** What it adds to the mean squared error of the model. */
    const lossOf = async (pass: object): Promise<number> => {
      const [, outcome] = await bench.run({ passes: ['uneven', pass], gates: open });
      const { mse, before } = outcome!.metrics as { mse: number; before: { mse: number } };
      return mse - before.mse;
    };
    const how = { minElements: 1, perChannel: false };
    const fit = { epochs: 8, learningRate: 0.002 };
    const plain = await lossOf({ quantize: how });
    const learned = await lossOf({ qat: { ...how, ...fit } });
    const calibrated = await lossOf({ qat: { ...how, ...fit, ranges: 'calibrated' } });
    expect(learned, `${plain} ${calibrated}`).toBeLessThan(0.95 * plain);
  });

  it('teach a student, twice the same', async () => {
    const bench = await makeCompressBench(classifier(64));
    const run = async (distill: object) => {
      const [, outcome] = await bench.run({ passes: [{ distill }], gates: open });
      return outcome!;
    };
    const narrow = await run({ student: { width: 0.125 }, epochs: 8, learningRate: 0.01 });
    const { accuracy, sizeRatio, agreement } = narrow.metrics as Record<string, number>;
    expect(sizeRatio).toBeLessThan(0.35);
    expect(accuracy).toBeGreaterThan(0.9);
    expect(agreement).toBeGreaterThan(0.9);
    const preset = {
      student: { preset: { mlp: { units: [8] } } },
      epochs: 8,
      learningRate: 0.01,
    };
    const one = await run(preset);
    expect((one.metrics as Record<string, number>)['accuracy']).toBeGreaterThan(0.9);
    const other = await makeCompressBench(classifier(64));
    const [, again] = await other.run({ passes: [{ distill: preset }], gates: open });
    expect(again!.digest).toBe(one.digest);
  });

  it.each([
    { distill: { student: { preset: { mlp: { units: [8] } } }, epochs: 8 } },
    { qat: { minElements: 1, epochs: 8 } },
  ])('go on where they were stopped, and end as if they had not been: %j', async (pass) => {
    const section = { passes: [pass], gates: open };
    const [unbroken, stopped] = [
      await makeCompressBench(classifier(32)),
      await makeCompressBench(classifier(32)),
    ];
    const [, whole] = await unbroken.run(section);
    await stopped.run({ passes: ['fold'], gates: open });
    await expect(stopped.interrupt(section, 3)).rejects.toMatchObject({ code: 'MAAS_INTERRUPTED' });
    const outcomes = await stopped.compress(section);
    expect(outcomes.at(-1)!.digest).toBe(whole!.digest);
  });
});
