import { expect, it } from 'vitest';
import type { Model } from '../../../src/ir/graph.js';
import { tensor, valuesOf } from '../../../src/ir/tensor.js';
import { quantizePass } from '../../../src/stages/compress/index.js';
import { contextOf } from '../../conformance/pass-suite.js';
import { classifier, flowers } from '../../evaluate/models.js';
import { makeCompressBench, passOf } from './bench.js';

const relaxed = { latency: { maxRatio: 100 }, size: { maxRatio: 10 }, accuracy: { maxDrop: 0.02 } };
const named = /^compress\.gates\.accuracy\.maxDrop .*changed layers: (dense1|.*dense1) \(/;

/** One hidden number a hundred thousand times as large, and read by as much less: the same model, but not in integers. */
function plantOutlier(model: Model): Model {
  const initializers = new Map(model.graph.initializers);
  const scale = (name: string, factorOf: (at: number) => number): void => {
    const { dims, data } = initializers.get(name)!;
    const values = new Float32Array((data as Uint8Array).slice().buffer);
    initializers.set(
      name,
      tensor(
        'float32',
        dims,
        values.map((value, at) => value * factorOf(at)),
      ),
    );
  };
  scale('weight0', (at) => (at % 64 === 0 ? 1e5 : 1));
  scale('bias0', (at) => (at === 0 ? 1e5 : 1));
  scale('weight1', (at) => (at < 64 ? 1e-5 : 1));
  return { ...model, graph: { ...model.graph, initializers } };
}

it('an outlier that integers round all else away beside is caught, and its layer named', async () => {
  const bench = await makeCompressBench(classifier(64), 'classification', [passOf('plant', plantOutlier)]);
  await bench.run({ passes: ['plant'], gates: relaxed });
  await expect(bench.compress({ passes: ['plant', 'quantize'], gates: relaxed })).rejects.toMatchObject({
    code: 'MAAS_GATE_FAILED',
    message: expect.stringMatching(named) as string,
  });
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
