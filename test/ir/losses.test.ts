import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { gradients } from '../../src/ir/gradient.js';
import type { Dim } from '../../src/ir/graph.js';
import { losses, type LossOptions } from '../../src/ir/losses.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import type { NdArray } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';

interface Setting {
  readonly loss: string;
  /** What stands between the input `z` and the prediction. */
  readonly activation?: 'Softmax' | 'Sigmoid';
  readonly shape: readonly Dim[];
  readonly target: NdArray;
  readonly options?: LossOptions;
}

/** The loss at `z`, and its gradient. */
async function lossAt(
  { loss, activation, shape, target, options }: Setting,
  dims: number[],
  z: number[],
  opset = 21,
) {
  const g = new GraphBuilder();
  const input = g.input('z', 'float32', shape);
  const truth = g.input('truth', target.dtype, ['N', ...target.dims.slice(1)]);
  const prediction = activation ? g.op('Identity', [g.op(activation, [input])]) : input;
  const value = losses[loss]!.emit(g, { prediction, target: truth }, options);
  g.output(value, 'loss');
  g.output(gradients(g, value, [input]).get(input)!, 'dz');
  const model = { irVersion: 10, opsets: { '': opset }, producer: '', graph: g.build(), metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  try {
    const found = await session.run({
      z: { dtype: 'float32', dims, data: Float32Array.from(z) },
      truth: target,
    });
    expect(found['loss']!.dims).toEqual([]);
    return { loss: Number(found['loss']!.data[0]), dz: Array.from(found['dz']!.data, Number) };
  } finally {
    await session.close();
  }
}

const ints = (values: number[]): NdArray => ({
  dtype: 'int64',
  dims: [values.length],
  data: BigInt64Array.from(values, BigInt),
});
const reals = (dims: number[], values: number[]): NdArray => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(values),
});

const logits = fc.array(
  fc.integer({ min: -80, max: 80 }).map((value) => value / 10),
  { minLength: 6, maxLength: 6 },
);
const softmax = (row: number[]) => {
  const top = Math.max(...row);
  const parts = row.map((value) => Math.exp(value - top));
  const total = parts.reduce((sum, part) => sum + part, 0);
  return parts.map((part) => part / total);
};

describe.each(Object.entries(losses))('%s', (loss, { task }) => {
  it('is the same for a model of operator set 16, the first that can be trained', async () => {
    const target = task === 'regression' ? reals([2, 2], [0, 1, 5, 2]) : ints([1, 0]);
    const setting = {
      loss,
      shape: ['N', 2],
      target,
      ...(task === 'classification' && { activation: 'Softmax' as const }),
    };
    const z = [1, 2, 3, -1];
    expect(await lossAt(setting, [2, 2], z, 16)).toEqual(await lossAt(setting, [2, 2], z));
  });
});

describe('meanSquaredError', () => {
  it.each<[string, Dim[], number[], number[]]>([
    ['[N] against [N, 1]', ['N'], [3], [3, 1]],
    ['[N, 1] against [N, 1]', ['N', 1], [3, 1], [3, 1]],
    ['[N, 1] against [N]', ['N', 1], [3, 1], [3]],
  ])('is half the mean of the squares, %s', async (_, shape, dims, targetDims) => {
    const target = reals(targetDims, [0, 1, 5]);
    const { loss, dz } = await lossAt({ loss: 'meanSquaredError', shape, target }, dims, [1, 1, 2]);
    expect(loss).toBeCloseTo((1 + 0 + 9) / (2 * 3), 6);
    [1 / 3, 0, -1].forEach((value, index) => {
      expect(dz[index]).toBeCloseTo(value, 6);
    });
  });

  it('divides by rows, not by values', async () => {
    const setting = { loss: 'meanSquaredError', shape: ['N', 2], target: reals([2, 2], [0, 0, 0, 0]) };
    expect((await lossAt(setting, [2, 2], [1, 2, 3, 4])).loss).toBeCloseTo((1 + 4 + 9 + 16) / 4, 5);
  });

  it('refuses shapes that would only broadcast', async () => {
    const setting = { loss: 'meanSquaredError', shape: ['N', 3], target: reals([2, 1], [0, 0]) };
    await expect(lossAt(setting, [2, 3], [1, 2, 3, 4, 5, 6])).rejects.toMatchObject({
      code: 'MAAS_MODEL_SHAPE',
    });
  });
});

describe('cross-entropies', () => {
  it.each(['sparseCategoricalCrossentropy', 'categoricalCrossentropy'])(
    '%s: softmax − truth, over n',
    async (loss) => {
      const classes = [2, 0];
      const target = loss === 'categoricalCrossentropy' ? reals([2, 3], [0, 0, 1, 1, 0, 0]) : ints(classes);
      await fc.assert(
        fc.asyncProperty(logits, async (z) => {
          const found = await lossAt({ loss, activation: 'Softmax', shape: ['N', 3], target }, [2, 3], z);
          const rows = [softmax(z.slice(0, 3)), softmax(z.slice(3))];
          const expected = rows.reduce((sum, row, index) => sum - Math.log(row[classes[index]!]!), 0) / 2;
          expect(found.loss).toBeCloseTo(expected, 4);
          rows.forEach((row, index) => {
            row.forEach((probability, column) => {
              const slope = (probability - (column === classes[index] ? 1 : 0)) / 2;
              expect(found.dz[index * 3 + column]).toBeCloseTo(slope, 5);
            });
          });
        }),
        { numRuns: 10 },
      );
    },
  );

  it('stay finite where the softmax is 0', async () => {
    const setting = {
      loss: 'sparseCategoricalCrossentropy',
      activation: 'Softmax',
      shape: ['N', 2],
      target: ints([0]),
    } as const;
    const { loss, dz } = await lossAt(setting, [1, 2], [-500, 500]);
    expect(loss).toBeCloseTo(1000, 2);
    expect(dz).toEqual([-1, 1]);
  });

  it('take probabilities that come from elsewhere', async () => {
    const setting = { loss: 'sparseCategoricalCrossentropy', shape: ['N', 2], target: ints([0, 1]) };
    const { loss } = await lossAt(setting, [2, 2], [0.25, 0.75, 1, 0]);
    expect(loss).toBeCloseTo((-Math.log(0.25) - Math.log(1e-7)) / 2, 4);
  });

  it('refuse one column for several classes', async () => {
    const setting = { loss: 'sparseCategoricalCrossentropy', shape: ['N', 1], target: ints([0]) };
    await expect(lossAt(setting, [1, 1], [0.5])).rejects.toMatchObject({ code: 'MAAS_MODEL_SHAPE' });
  });
});

describe('binaryCrossentropy', () => {
  it.each([['Sigmoid' as const], [undefined]])('from %s', async (activation) => {
    const z = activation ? [2, -1, 0] : [0.9, 0.2, 0.5];
    const setting = {
      loss: 'binaryCrossentropy',
      shape: ['N', 1],
      target: ints([1, 1, 0]),
      ...(activation && { activation }),
    };
    const { loss, dz } = await lossAt(setting, [3, 1], z);
    const p = activation ? z.map((value) => 1 / (1 + Math.exp(-value))) : z;
    expect(loss).toBeCloseTo(-(Math.log(p[0]!) + Math.log(p[1]!) + Math.log(1 - p[2]!)) / 3, 5);
    if (activation)
      [p[0]! - 1, p[1]! - 1, p[2]!].forEach((slope, index) => {
        expect(dz[index]).toBeCloseTo(slope / 3, 5);
      });
  });

  it('from two columns, as the cross-entropy of two classes', async () => {
    const setting = { shape: ['N', 2], target: ints([1, 0]), activation: 'Softmax' } as const;
    const z = [0.5, -1, 2, 0.25];
    const two = await lossAt({ loss: 'binaryCrossentropy', ...setting }, [2, 2], z);
    expect(two).toEqual(await lossAt({ loss: 'sparseCategoricalCrossentropy', ...setting }, [2, 2], z));
  });

  it('stays finite where the sigmoid is 0 or 1', async () => {
    const setting = {
      loss: 'binaryCrossentropy',
      activation: 'Sigmoid',
      shape: ['N'],
      target: ints([1, 0]),
    } as const;
    const { loss, dz } = await lossAt(setting, [2], [-300, 300]);
    expect(loss).toBeCloseTo(300, 2);
    expect(dz).toEqual([-0.5, 0.5]);
  });
});

interface Fixture {
  readonly loss: string;
  readonly options: LossOptions;
  readonly activation: 'Softmax' | 'Sigmoid' | null;
  readonly z: number[][];
  readonly target: number[] | number[][];
  readonly integers: boolean;
  readonly value: number;
  readonly gradient: number[][];
}
const { cases } = JSON.parse(
  readFileSync(new URL('../fixtures/torch/losses.json', import.meta.url), 'utf8'),
) as { readonly cases: readonly Fixture[] };

describe('values and gradients are those of PyTorch', () => {
  it.each(
    cases.map(
      (each) => [each.loss, each.activation ?? 'values', JSON.stringify(each.options), each] as const,
    ),
  )('%s of %s %s', async (loss, _, __, { options, activation, z, target, integers, value, gradient }) => {
    const width = z[0]!.length;
    const flat = target.flat();
    const found = await lossAt(
      {
        loss,
        options,
        shape: ['N', width],
        target: integers ? ints(flat) : reals([z.length, flat.length / z.length], flat),
        ...(activation && { activation }),
      },
      [z.length, width],
      z.flat(),
    );
    expect(Math.abs(found.loss - value)).toBeLessThan(1e-6 * Math.max(1, Math.abs(value)));
    const errors = gradient.flat().map((slope, index) => Math.abs(slope - found.dz[index]!));
    expect(Math.max(...errors)).toBeLessThan(1e-6);
  });

  it('covers every loss', () => {
    const covered = new Set(cases.map(({ loss }) => loss));
    expect([...covered].sort()).toEqual(Object.keys(losses).sort());
  });
});

describe('losses stay finite', () => {
  it.each(['categoricalFocalCrossentropy', 'binaryFocalCrossentropy'])(
    '%s where p is 0 or 1',
    async (loss) => {
      const setting = { loss, shape: ['N', 2], target: ints([0, 1]), activation: 'Softmax' } as const;
      const { loss: value, dz } = await lossAt(
        { ...setting, options: { gamma: 0.5 } },
        [2, 2],
        [-300, 300, -300, 300],
      );
      expect(Number.isFinite(value)).toBe(true);
      expect(dz.every(Number.isFinite)).toBe(true);
    },
  );

  it('cosineSimilarity where a vector has no length', async () => {
    const setting = { loss: 'cosineSimilarity', shape: ['N', 2], target: reals([1, 2], [1, 0]) };
    const { loss, dz } = await lossAt(setting, [1, 2], [0, 0]);
    expect(loss).toBeCloseTo(0);
    expect(dz.every(Number.isFinite)).toBe(true);
  });

  it('cosineSimilarity refuses single values', async () => {
    const setting = { loss: 'cosineSimilarity', shape: ['N', 1], target: reals([1, 1], [1]) };
    await expect(lossAt(setting, [1, 1], [0])).rejects.toMatchObject({ code: 'MAAS_MODEL_SHAPE' });
  });
});
