import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { optimizers, type OptimizerOptions } from '../../src/ir/optimizers.js';
import { removeDead } from '../../src/ir/rewrite.js';
import type { NdArray } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';

/** Runs steps over given gradients of one parameter. */
async function descend(
  name: string,
  options: OptimizerOptions,
  steps: readonly number[][],
  { start = [0, 0], dims = [2] }: { readonly start?: number[]; readonly dims?: number[] } = {},
): Promise<number[]> {
  const optimizer = optimizers[name]!;
  const settings = { ...optimizer.defaults, ...options };
  const first = optimizer.slots(settings);
  const g = new GraphBuilder();
  const parameter = g.input('parameter', 'float32', dims);
  const gradient = g.input('gradient', 'float32', dims);
  const slots = Object.fromEntries(Object.keys(first).map((slot) => [slot, g.input(slot, 'float32', dims)]));
  const scalars = Object.fromEntries(
    Object.keys(optimizer.scalars(settings, 1)).map((key) => [key, g.input(`${key}_now`, 'float32', [])]),
  );
  const next = optimizer.emit(g, { parameter, gradient, slots, scalars }, settings);
  g.output(next.parameter, 'next');
  expect(Object.keys(next.slots).sort()).toEqual(Object.keys(slots).sort());
  for (const [slot, value] of Object.entries(next.slots)) g.output(value, `next_${slot}`);
  const graph = removeDead(g.build());
  const model = { irVersion: 10, opsets: { '': 21 }, producer: '', graph, metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  try {
    const real = (shape: number[], values: number[]): NdArray => ({
      dtype: 'float32',
      dims: shape,
      data: Float32Array.from(values),
    });
    const feeds: Record<string, NdArray> = { parameter: real(dims, start) };
    for (const [slot, value] of Object.entries(first)) {
      feeds[slot] = real(
        dims,
        start.map(() => value),
      );
    }
    for (const [index, values] of steps.entries()) {
      feeds['gradient'] = real(dims, values);
      for (const [key, value] of Object.entries(optimizer.scalars(settings, index + 1))) {
        feeds[`${key}_now`] = real([], [value]);
      }
      const found = await session.run(feeds);
      feeds['parameter'] = found['next']!;
      for (const slot of Object.keys(slots)) feeds[slot] = found[`next_${slot}`]!;
    }
    return Array.from(feeds['parameter']!.data, Number);
  } finally {
    await session.close();
  }
}

const steps: readonly number[][] = [
  [1, -2],
  [0.5, 0],
  [-3, 4],
  [0, 1e-3],
];

/** Keras' formulas, in double precision, for one element. */
function sgd(element: number, rate: number, momentum: number, nesterov: boolean): number {
  let [value, velocity] = [0, 0];
  for (const gradients of steps) {
    const gradient = gradients[element]!;
    velocity = momentum * velocity - rate * gradient;
    value += nesterov ? momentum * velocity - rate * gradient : velocity;
  }
  return value;
}

function adam(element: number, rate: number, beta1: number, beta2: number, epsilon: number): number {
  let [value, mean, variance] = [0, 0, 0];
  steps.forEach((gradients, index) => {
    const gradient = gradients[element]!;
    mean = beta1 * mean + (1 - beta1) * gradient;
    variance = beta2 * variance + (1 - beta2) * gradient ** 2;
    const [meanHat, varianceHat] = [mean / (1 - beta1 ** (index + 1)), variance / (1 - beta2 ** (index + 1))];
    value -= (rate * meanHat) / (Math.sqrt(varianceHat) + epsilon);
  });
  return value;
}

describe('sgd', () => {
  it.each([
    ['plain', 0, false],
    ['with momentum', 0.9, false],
    ['after Nesterov', 0.9, true],
  ])('%s', async (_, momentum, nesterov) => {
    const found = await descend('sgd', { learningRate: 0.1, momentum, nesterov }, steps);
    [0, 1].forEach((element) => {
      expect(found[element]).toBeCloseTo(sgd(element, 0.1, momentum, nesterov), 5);
    });
  });
});

describe('adam', () => {
  it.each([
    ['defaults', {}],
    ['other options', { learningRate: 0.05, beta1: 0.7, beta2: 0.9, epsilon: 0.5 }],
  ])('%s', async (_, options) => {
    const { learningRate, beta1, beta2, epsilon } = { ...optimizers['adam']!.defaults, ...options } as Record<
      string,
      number
    >;
    const found = await descend('adam', options, steps);
    [0, 1].forEach((element) => {
      expect(found[element]).toBeCloseTo(adam(element, learningRate!, beta1!, beta2!, epsilon!), 6);
    });
  });

  it('stands still where nothing pulls', async () => {
    expect(
      await descend('adam', {}, [
        [0, 0],
        [0, 0],
      ]),
    ).toEqual([0, 0]);
  });
});

interface Fixtures {
  readonly start: number[][];
  readonly gradients: number[][][];
  readonly cases: readonly {
    optimizer: string;
    options: Record<string, number | boolean>;
    end: number[][];
  }[];
}
const fixtures = JSON.parse(
  readFileSync(new URL('../fixtures/torch/optimizers.json', import.meta.url), 'utf8'),
) as Fixtures;

describe('20 steps end where they end in PyTorch', () => {
  it.each(fixtures.cases.map((each) => [each.optimizer, JSON.stringify(each.options), each] as const))(
    '%s %s',
    async (name, _, { options, end }) => {
      const gradients = fixtures.gradients.map((rows) => rows.flat());
      const found = await descend(name, options, gradients, { start: fixtures.start.flat(), dims: [2, 3] });
      const errors = end
        .flat()
        .map((value, index) => Math.abs(value - found[index]!) / Math.max(1, Math.abs(value)));
      expect(Math.max(...errors)).toBeLessThan(1e-6);
    },
  );

  it('covers every optimizer', () => {
    const covered = new Set(fixtures.cases.map(({ optimizer }) => optimizer));
    expect([...covered].sort()).toEqual(Object.keys(optimizers).sort());
  });
});

describe('weight decay', () => {
  const still = [[0, 0]];
  const options = { learningRate: 0.1, weightDecay: 0.5 };

  it.each(['sgd', 'adamw', 'lion', 'lamb'])(
    'of %s leaves vectors alone unless told otherwise',
    async (name) => {
      const from = { start: [1, -2], dims: [2] };
      expect(await descend(name, options, still, from)).toEqual([1, -2]);
      const moved = await descend(name, { ...options, decayVectors: true }, still, from);
      expect(moved[0]).toBeLessThan(1);
      expect(moved[1]).toBeGreaterThan(-2);
      const matrix = await descend(name, options, still, { start: [1, -2], dims: [1, 2] });
      expect(matrix).toEqual(moved);
    },
  );
});

describe('sgd', () => {
  it.each([false, true])('shrinks weights beside its momentum: Nesterov %s', async (nesterov) => {
    const options = { learningRate: 0.1, momentum: 0.5, nesterov, weightDecay: 0.2 };
    // θ = 1, g = 1: v = −0.1; θ ← θ + (v, or 0.5·v − 0.1) − 0.1·0.2·θ.
    const first = await descend('sgd', options, [[1]], { start: [1], dims: [1, 1] });
    expect(first[0]).toBeCloseTo(1 - (nesterov ? 0.15 : 0.1) - 0.02, 6);
  });
});

describe('lamb', () => {
  it('takes plain steps where weights or steps have no length', async () => {
    expect(await descend('lamb', { learningRate: 0.1 }, [[3, 4]])).toEqual([-0.1, -0.1].map(Math.fround));
    expect(await descend('lamb', {}, [[0, 0]], { start: [1, 2] })).toEqual([1, 2]);
  });
});
