import { describe, expect, it } from 'vitest';
import { signalToNoise } from '../../../src/evaluate/metrics.js';
import { attr } from '../../../src/ir/graph.js';
import { tensor, valuesOf } from '../../../src/ir/tensor.js';
import { prunePass } from '../../../src/stages/compress/index.js';
import { build, values, weight } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';

/** Inputs that hang together, so that one weight can make up for another. */
function related(rows: number): ReturnType<typeof values> {
  const [base, own] = [values(rows, 8), values(rows, 32)];
  const data = own.data.map((value, at) => 0.3 * value + base.data[Math.floor(at / 32) * 8 + (at % 8)]!);
  return { dtype: 'float32', dims: [rows, 32], data };
}

const { model, feeds } = build('two layers', { x: related(200) }, (graph) => {
  const hidden = graph.op('Gemm', ['x', graph.constant(weight(32, 48), 'first')], {}, { name: 'one' });
  return graph.op(
    'MatMul',
    [graph.op('Relu', [hidden]), graph.constant(weight(48, 8), 'second')],
    {},
    { name: 'two' },
  );
});

const prune = (options: object) =>
  prunePass.run(model, prunePass.options.parse({ minElements: 1, ...options }), contextOf(feeds));

async function zerosOf(options: object): Promise<number[]> {
  const { model: after } = await prune(options);
  return ['first', 'second'].map((name) => {
    const numbers = valuesOf(after.graph.initializers.get(name)!) as Float32Array;
    return numbers.filter((value) => value === 0).length / numbers.length;
  });
}

async function decibels(options: object): Promise<number> {
  const { model: after } = await prune(options);
  const [expected, actual] = [await runModel(model, feeds), await runModel(after, feeds)];
  const output = model.graph.outputs[0]!.name;
  return signalToNoise(expected[output] as number[], actual[output] as number[]);
}

describe('prune', () => {
  it.each(['magnitude', 'sparsegpt'])('reaches the sparsity that is asked for: %s', async (method) => {
    expect(await zerosOf({ method, sparsity: 0.5 })).toEqual([0.5, 0.5]);
    expect(await zerosOf({ method, layers: { 't*': 0.25 }, exclude: ['one'] })).toEqual([0, 0.25]);
  });

  it.each(['magnitude', 'sparsegpt'])('keeps N of each M: %s', async (method) => {
    const { model: after } = await prune({ method, pattern: '2:4' });
    const numbers = valuesOf(after.graph.initializers.get('first')!) as Float32Array;
    for (let column = 0; column < 48; column++) {
      for (let row = 0; row < 32; row += 4) {
        const four = [0, 1, 2, 3].map((at) => numbers[(row + at) * 48 + column]!);
        expect(four.filter((value) => value === 0)).toHaveLength(2);
      }
    }
  });

  it('takes the smallest anywhere when the scope is global', async () => {
    const small = tensor(
      'float32',
      [48, 8],
      (valuesOf(weight(48, 8)) as Float32Array).map((value) => value / 100),
    );
    const initializers = new Map(model.graph.initializers).set('second', small);
    const given = { ...model, graph: { ...model.graph, initializers } };
    const options = prunePass.options.parse({ scope: 'global', sparsity: 0.25, minElements: 1 });
    const { model: after } = await prunePass.run(given, options, contextOf(feeds));
    expect(
      (valuesOf(after.graph.initializers.get('second')!) as Float32Array).every((value) => value === 0),
    ).toBe(true);
  });

  it('loses much less when other weights make up for those that go', async () => {
    const [plain, repaired] = [await decibels({}), await decibels({ method: 'sparsegpt' })];
    expect(repaired).toBeGreaterThan(plain + 3);
  });

  it.each([
    [{ sparsity: 1 }, 'sparsity'],
    [{ pattern: '4:2' }, 'pattern'],
    [{ pattern: 'half' }, 'pattern'],
    [{ method: 'sparsegpt', scope: 'global' }, 'scope'],
    [{ pattern: '2:4', scope: 'global' }, 'scope'],
    [{ iterations: 3 }, 'iterations'],
    [{ sparsty: 0.5 }, undefined],
  ])('refuses %j', (options, path) => {
    const { error } = prunePass.options.safeParse(options);
    expect(error!.issues[0]!.path[0]).toBe(path);
  });

  it.each<[string, Record<string, readonly number[]>]>([
    ['padded', { pads: [1, 1, 1, 1] }],
    ['in steps', { pads: [0, 1, 0, 1], strides: [2, 1], dilations: [1, 2] }],
  ])('repairs convolutions by what their kernels lie on: %s', async (_, lists) => {
    const [rows, channels, size] = [12, 4, 9];
    const [base, own] = [values(rows, size * size), values(rows, channels * size * size)];
    const data = own.data.map((value, at) => {
      const row = Math.floor(at / (channels * size * size));
      return 0.3 * value + base.data[row * size * size + (at % (size * size))]!;
    });
    const images = { dtype: 'float32' as const, dims: [rows, channels, size, size], data };
    const attributes = Object.fromEntries(Object.entries(lists).map(([key, list]) => [key, attr.ints(list)]));
    const net = build('a convolution', { x: images }, (graph) => {
      const kernels = [graph.constant(weight(6, channels, 3, 3)), graph.constant(weight(6))];
      return graph.op('Relu', [graph.op('Conv', ['x', ...kernels], attributes, { name: 'conv' })]);
    });
    const output = net.model.graph.outputs[0]!.name;
    const keeps = async (method: string): Promise<number> => {
      const options = prunePass.options.parse({ method, minElements: 1 });
      const { model: after, report } = await prunePass.run(net.model, options, contextOf(net.feeds));
      expect(report.applied).toEqual([{ node: 'conv', note: '108 of 216 weights are 0' }]);
      const [one, two] = [await runModel(net.model, net.feeds), await runModel(after, net.feeds)];
      return signalToNoise(one[output] as number[], two[output] as number[]);
    };
    expect(await keeps('sparsegpt')).toBeGreaterThan((await keeps('magnitude')) + 2);
  });
});
