import { expect, it } from 'vitest';
import type { Model } from '../../../src/ir/graph.js';
import { tensor, valuesOf } from '../../../src/ir/tensor.js';
import type { Pass } from '../../../src/plugin/api.js';
import { findSaturated } from '../../../src/stages/compress/saturation.js';
import { quantizePass } from '../../../src/stages/compress/index.js';
import { contextOf } from '../../conformance/pass-suite.js';
import { classifier, flowers } from '../../evaluate/models.js';
import { makeCompressBench, passOf, scaleWeights } from './bench.js';

const relaxed = { latency: { maxRatio: 100 }, size: { maxRatio: 10 }, accuracy: { maxDrop: 0.02 } };
const named = /^compress\.gates\.accuracy\.maxDrop .*changed layers: (dense1|.*dense1) \(/;

/** One hidden number a hundred thousand times as large, and read by as much less: the same model, but not in integers. */
const plantOutlier = (model: Model): Model =>
  scaleWeights(model, {
    weight0: (at) => (at % 64 === 0 ? 1e5 : 1),
    bias0: (at) => (at === 0 ? 1e5 : 1),
    weight1: (at) => (at < 64 ? 1e-5 : 1),
  });

it('an outlier that integers round all else away beside is caught, and its layer named', async () => {
  const bench = await makeCompressBench(classifier(64), 'classification', [passOf('plant', plantOutlier)]);
  await bench.run({ passes: ['plant'], gates: relaxed });
  await expect(bench.compress({ passes: ['plant', 'quantize'], gates: relaxed })).rejects.toMatchObject({
    code: 'MAAS_GATE_FAILED',
    message: expect.stringMatching(named) as string,
  });
});

/** The quantizer, calibrated on rows that `change` makes of the project's. */
function calibratedOn(change: (value: number, at: number) => number): Pass {
  return {
    ...quantizePass,
    name: 'drifted',
    run: (model, options, context) =>
      quantizePass.run(model, options, {
        ...context,
        calibration: async (samples) =>
          (await context.calibration(samples)).map((feeds) =>
            Object.fromEntries(
              Object.entries(feeds).map(([name, array]) => [
                name,
                { ...array, data: (array.data as Float32Array).map(change) },
              ]),
            ),
          ),
      }),
  };
}

it('calibration on data of another distribution is caught, and the activations named that leave their ranges', async () => {
  // All flowers much like the middle one.
  const middle = [5.8, 3, 3.7, 1.2];
  const drifted = calibratedOn((value, at) => 0.95 * middle[at % 4]! + 0.05 * value);
  const bench = await makeCompressBench(classifier(64), 'classification', [drifted]);
  await expect(
    bench.run({
      passes: [{ drifted: { biasCorrection: false } }],
      gates: { ...relaxed, agreement: { min: 0.99 } },
    }),
  ).rejects.toMatchObject({
    code: 'MAAS_GATE_FAILED',
    message: expect.stringMatching(
      /; the test rows leave the ranges of calibration at relu\S* \([\d.]+ % of its values: 0 to [\d.]+ in a range of 0 to [\d.]+\)/,
    ) as string,
    details: { saturated: expect.arrayContaining(['relu']) as string[] },
  });
});

it('calibration on the data itself leaves no range', async () => {
  const { model } = await quantizePass.run(
    classifier(64),
    quantizePass.options.parse({}),
    contextOf({ features: flowers(256) }),
  );
  expect(await findSaturated(model, { features: flowers(128) })).toEqual([]);
});

it('sums that a processor without VNNI would cut off are caught, and the layer named, unless weights have 7 bits', async () => {
  const bench = await makeCompressBench(classifier(64));
  const told = { passes: [{ quantize: { reduceRange: false } }], gates: relaxed };
  await expect(bench.run({ ...told, target: 'avx2' })).rejects.toMatchObject({
    code: 'MAAS_GATE_FAILED',
    message: expect.stringMatching(
      /^compress\.gates\.overflow\.maxShare is 0: \S+ of the sums .* without VNNI: dense1 \(\S+ %\)/,
    ) as string,
  });
  await bench.compress({ ...told, target: 'avx512-vnni' });
  await bench.compress({ passes: ['quantize'], gates: relaxed, target: 'avx2' });
});

it('a layer that cannot be quantized is left, and the reason told', async () => {
  const model = classifier(64);
  const weight = model.graph.initializers.get('weight1')!;
  const values = new Float32Array((weight.data as Uint8Array).slice().buffer);
  values[5] = Infinity;
  const initializers = new Map(model.graph.initializers).set(
    'weight1',
    tensor('float32', weight.dims, values),
  );
  const { report } = await quantizePass.run(
    { ...model, graph: { ...model.graph, initializers } },
    quantizePass.options.parse({}),
    contextOf({ features: flowers(64) }),
  );
  expect(report.skipped).toContainEqual({ node: 'dense1', reason: 'its weights are not finite' });
});

it.each([
  [true, true],
  [false, false],
])('with reduceRange %s two products fit into 16 bits: %s', async (reduceRange, fits) => {
  const options = quantizePass.options.parse({ reduceRange });
  const { model } = await quantizePass.run(classifier(64), options, contextOf({ features: flowers(64) }));
  const weights = valuesOf(model.graph.initializers.get('weight1_int8')!) as Int8Array;
  // Without VNNI, x86 adds up the products of two neighbouring rows in 16 bits, and saturates.
  let most = 0;
  for (let row = 0; row < 64; row += 2) {
    for (let column = 0; column < 64; column++) {
      const [one, two] = [weights[row * 64 + column]!, weights[(row + 1) * 64 + column]!];
      most = Math.max(
        most,
        255 * Math.abs(Math.max(one, 0) + Math.max(two, 0)),
        255 * Math.abs(Math.min(one, 0) + Math.min(two, 0)),
      );
    }
  }
  expect(most <= 32_767).toBe(fits);
});
