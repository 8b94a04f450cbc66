import { describe, expect, it } from 'vitest';
import { attr, type Model } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import { signalToNoise } from '../../../src/evaluate/metrics.js';
import type { Pass } from '../../../src/plugin/api.js';
import { equalizeLayersPass, quantizePass, smoothQuantPass } from '../../../src/stages/compress/index.js';
import { build, values, weight, type PassModel } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';

/** A weight whose channels along the last axis are of very different size. */
function uneven(...dims: number[]) {
  const { data } = values(...dims);
  const last = dims.at(-1)!;
  return tensor(
    'float32',
    dims,
    data.map((value, at) => value * 8 ** ((at % last) % 4)),
  );
}

const run = async (pass: Pass, { model, feeds }: PassModel, options: object = {}) =>
  pass.run(model, pass.options.parse(options), contextOf(feeds));

async function noiseOf(model: Model, { model: before, feeds }: PassModel): Promise<number> {
  const [[one], [two]] = [
    Object.values(await runModel(before, feeds)),
    Object.values(await runModel(model, feeds)),
  ];
  return signalToNoise(one as number[], two as number[]);
}

const convolutions = build('convolutions', { x: values(4, 3, 8, 8) }, (graph) => {
  const first = graph.constant(tensor('float32', [8, 3, 3, 3], weightsOf(8, 27)));
  const deep = graph.op('Relu', [graph.op('Conv', ['x', first, graph.constant(weight(8))])]);
  const depthwise = graph.op(
    'Conv',
    [deep, graph.constant(tensor('float32', [8, 1, 3, 3], weightsOf(8, 9, 1 / 8)))],
    { group: attr.int(8) },
  );
  const last = graph.op('Conv', [graph.op('Relu', [depthwise]), graph.constant(weight(4, 8, 1, 1))]);
  return graph.op('Relu', [graph.op('GlobalAveragePool', [last])]);
});

/** Each row of a weight `step` times as large as the one before, in fours. */
function weightsOf(rows: number, width: number, step = 8): Float32Array {
  return values(rows, width).data.map((value, at) => value * step ** (Math.floor(at / width) % 4));
}

describe('equalizeLayers', () => {
  it('keeps in integers with one scale what would be rounded away', async () => {
    const { model, report } = await run(equalizeLayersPass, convolutions);
    expect(report.applied?.map(({ node }) => node)).toEqual(['conv', 'conv_1']);
    expect(await noiseOf(model, convolutions)).toBeGreaterThan(100);
    const integers = { minElements: 1, perChannel: false };
    const [plain, even] = await Promise.all([
      run(quantizePass, convolutions, integers),
      run(quantizePass, { ...convolutions, model }, integers),
    ]);
    const [before, after] = [
      await noiseOf(plain.model, convolutions),
      await noiseOf(even.model, convolutions),
    ];
    expect(after).toBeGreaterThan(before + 6);
  });

  it('stays away from bounded activations, and from weights with two readers', async () => {
    const clipped = build('clip', { x: values(3, 8) }, (graph) => {
      const bounded = graph.op('Clip', [
        graph.op('Gemm', ['x', graph.constant(uneven(8, 8))]),
        graph.scalar(0),
        graph.scalar(6),
      ]);
      return graph.op('Gemm', [bounded, graph.constant(weight(8, 4))]);
    });
    expect((await run(equalizeLayersPass, clipped)).report).toEqual({
      changed: false,
      applied: [],
      skipped: [{ node: 'gemm', reason: 'the Clip behind it takes no factor through' }],
    });
    const tied = build('tied', { x: values(3, 8) }, (graph) => {
      const shared = graph.constant(uneven(8, 8));
      return graph.op('Gemm', [graph.op('Relu', [graph.op('Gemm', ['x', shared])]), shared]);
    });
    expect((await run(equalizeLayersPass, tied)).report.changed).toBe(false);
  });
});

/** A block of a transformer whose normalization makes some channels far larger than others. */
const block = build('block', { x: values(6, 5, 16) }, (graph) => {
  const outliers = Float32Array.from({ length: 16 }, (_, at) => (at % 8 === 3 ? 60 : 1));
  const normed = graph.op('LayerNormalization', [
    'x',
    graph.constant(tensor('float32', [16], outliers)),
    graph.constant(weight(16)),
  ]);
  // What is large counts for little, so that what is rounded away beside it shows.
  const [one, two] = [values(16, 16), values(16, 16)].map(({ data }) => {
    const weights = data.map((value, at) => (Math.floor(at / 16) % 8 === 3 ? value / 60 : value));
    return graph.op('MatMul', [normed, graph.constant(tensor('float32', [16, 16], weights))]);
  });
  const hidden = graph.op('Relu', [
    graph.op('Add', [graph.op('Mul', [one!, two!]), graph.constant(uneven(16))]),
  ]);
  return graph.op('MatMul', [hidden, graph.constant(weight(16, 8))]);
});

describe('smoothQuant', () => {
  it('takes outliers of activations into the weights', async () => {
    const { model, report } = await run(smoothQuantPass, block);
    expect(report.applied?.map(({ node }) => node)).toEqual(['matmul', 'matmul_1']);
    expect(report.skipped).toEqual([
      { node: 'matmul_2', reason: 'nothing before it can take a factor of a channel' },
    ]);
    expect(await noiseOf(model, block)).toBeGreaterThan(100);
    const integers = { minElements: 1, biasCorrection: false };
    const [plain, smooth] = await Promise.all([
      run(quantizePass, block, integers),
      run(quantizePass, { ...block, model }, integers),
    ]);
    expect(await noiseOf(smooth.model, block)).toBeGreaterThan((await noiseOf(plain.model, block)) + 4);
  });

  it('needs rows', async () => {
    const none = { seed: 1, calibration: () => Promise.resolve([]) };
    const { report } = await smoothQuantPass.run(block.model, smoothQuantPass.options.parse({}), none);
    expect(report.changed).toBe(false);
    expect(report.skipped).toContainEqual({ node: 'matmul', reason: 'there are no rows to calibrate on' });
  });
});

describe('bias correction', () => {
  it('takes back the mean of what rounding adds', async () => {
    const rounded = build(
      'coarse',
      { x: { ...values(64, 32), data: values(64, 32).data.map((v) => Math.abs(v) + 1) } },
      (graph) => graph.op('Gemm', ['x', graph.constant(uneven(32, 32))]),
    );
    const shiftOf = async (biasCorrection: boolean): Promise<number> => {
      const { model } = await run(quantizePass, rounded, {
        minElements: 1,
        perChannel: false,
        biasCorrection,
      });
      const [[one], [two]] = [
        Object.values(await runModel(rounded.model, rounded.feeds)),
        Object.values(await runModel(model, rounded.feeds)),
      ];
      const sums = new Float64Array(32);
      (one as number[]).forEach((value, at) => (sums[at % 32]! += (two as number[])[at]! - value));
      return Math.hypot(...sums.map((sum) => sum / 64));
    };
    expect(await shiftOf(true)).toBeLessThan((await shiftOf(false)) / 3);
  });

  it('reaches the biases of convolutions', async () => {
    const noises = await Promise.all(
      [true, false].map(async (biasCorrection) => {
        const { model } = await run(quantizePass, convolutions, {
          minElements: 1,
          perChannel: false,
          biasCorrection,
        });
        return noiseOf(model, convolutions);
      }),
    );
    expect(noises[0]).toBeGreaterThan(noises[1]!);
  });
});
