import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { gradients } from '../../src/ir/gradient.js';
import type { Dim } from '../../src/ir/graph.js';
import { losses, type LossOptions } from '../../src/ir/losses.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { tensor, type NdArray } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';

interface Setting {
  readonly loss: string;
  /** What stands between the input `z` and the prediction. */
  readonly activation?: 'Softmax' | 'Sigmoid';
  /** A matrix that `z` is multiplied with first. */
  readonly head?: readonly (readonly number[])[];
  readonly shape: readonly Dim[];
  readonly target: NdArray;
  readonly options?: LossOptions;
}

/** A session for the loss and its gradients at any `z`. */
async function openLoss({ loss, activation, head, shape, target, options }: Setting, opset = 21) {
  const g = new GraphBuilder();
  const input = g.input('z', 'float32', shape);
  const truth = g.input('truth', target.dtype, ['N', ...target.dims.slice(1)]);
  const matrix =
    head && g.initializer('head', tensor('float32', [head.length, head[0]!.length], head.flat()));
  const logits = matrix === undefined ? input : g.op('MatMul', [input, matrix]);
  const prediction = activation ? g.op('Identity', [g.op(activation, [logits])]) : logits;
  const value = losses[loss]!.emit(g, { prediction, target: truth }, options);
  g.output(value, 'loss');
  const slopes = gradients(g, value, [input, ...(matrix === undefined ? [] : [matrix])]);
  g.output(slopes.get(input)!, 'dz');
  if (matrix !== undefined) g.output(slopes.get(matrix)!, 'dhead');
  const model = { irVersion: 10, opsets: { '': opset }, producer: '', graph: g.build(), metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  return {
    close: () => session.close(),
    async at(dims: number[], z: number[]) {
      const data = Float32Array.from(z);
      const found = await session.run({ z: { dtype: 'float32', dims, data }, truth: target });
      expect(found['loss']!.dims).toEqual([]);
      return {
        loss: Number(found['loss']!.data[0]),
        dz: Array.from(found['dz']!.data, Number),
        ...(head && { dhead: Array.from(found['dhead']!.data, Number) }),
      };
    },
  };
}

/** The loss at `z`, and its gradient. */
async function lossAt(setting: Setting, dims: number[], z: number[], opset?: number) {
  const opened = await openLoss(setting, opset);
  try {
    return await opened.at(dims, z);
  } finally {
    await opened.close();
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

describe.each(Object.entries(losses))('%s', (loss, { task, embeds }) => {
  it('is the same for a model of operator set 16, the first that can be trained', async () => {
    const target = task === 'regression' ? reals([2, 2], [0, 1, 5, 2]) : ints([1, 0]);
    const setting = {
      loss,
      shape: ['N', 2],
      target,
      ...(task === 'classification' && { activation: 'Softmax' as const }),
      ...(embeds && {
        head: [
          [1, 2],
          [3, 5],
        ],
      }),
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
  readonly head?: readonly (readonly number[])[];
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
  )(
    '%s of %s %s',
    async (loss, _, __, { options, activation, head, z, target, integers, value, gradient }) => {
      const width = z[0]!.length;
      const flat = target.flat();
      const found = await lossAt(
        {
          loss,
          options,
          shape: ['N', width],
          target: integers ? ints(flat) : reals([z.length, flat.length / z.length], flat),
          ...(activation && { activation }),
          ...(head && { head }),
        },
        [z.length, width],
        z.flat(),
      );
      expect(Math.abs(found.loss - value)).toBeLessThan(1e-6 * Math.max(1, Math.abs(value)));
      const errors = gradient.flat().map((slope, index) => Math.abs(slope - found.dz[index]!));
      expect(Math.max(...errors)).toBeLessThan(1e-6);
    },
  );

  it('covers every loss', () => {
    const covered = new Set(cases.map(({ loss }) => loss));
    expect([...covered].sort()).toEqual(Object.keys(losses).sort());
  });
});

const moved = (z: number[], at: number, by: number) =>
  z.map((value, index) => (index === at ? value + by : value));

describe('triplet', () => {
  /** A head of zeros, for which the cross-entropy is the same everywhere. */
  const setting = (labels: number[]): Setting => ({
    ...{ loss: 'triplet', shape: ['N', 2], activation: 'Softmax', options: { margin: 2 } },
    target: ints(labels),
    head: [
      [0, 0],
      [0, 0],
    ],
  });

  it('has the gradient that finite differences have', async () => {
    const opened = await openLoss(setting([0, 1, 0, 1, 1]));
    const lossOf = async (z: number[]) => (await opened.at([5, 2], z)).loss;
    const embedding = fc.array(fc.integer({ min: -30, max: 30 }), { minLength: 10, maxLength: 10 });
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(embedding, async (places) => {
        // Off the grid, on which distances are the same and have no slope.
        const z = places.map((value, at) => value / 10 + 0.05 * Math.sin(5.3 * at * at));
        const { loss, dz } = await opened.at([5, 2], z);
        for (const at of z.keys()) {
          const step = 2e-3;
          const [before, after] = [await lossOf(moved(z, at, -step)), await lossOf(moved(z, at, step))];
          // Where the hardest row changes, or the side of the hinge, there are two slopes.
          if (Math.abs(after - 2 * loss + before) > step * 0.01) continue;
          compared++;
          expect(Math.abs(dz[at]! - (after - before) / (2 * step))).toBeLessThan(0.01);
        }
      }),
      { numRuns: 20 },
    );
    await opened.close();
    expect(compared).toBeGreaterThan(100);
  });

  it('is finite where all rows are the same', async () => {
    const { loss, dz } = await lossAt(setting([0, 1, 0]), [3, 2], [1, 2, 1, 2, 1, 2]);
    expect(loss).toBeCloseTo(2 + Math.log(2), 5);
    expect(dz).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('looks at what dropout is applied to', async () => {
    const g = new GraphBuilder();
    const [z, mask] = [g.input('z', 'float32', ['N', 2]), g.input('mask', 'float32', ['N', 2])];
    const truth = g.input('truth', 'int64', ['N']);
    const head = g.constant(tensor('float32', [2, 2], [0, 0, 0, 0]));
    const prediction = g.op('Softmax', [g.op('MatMul', [g.op('Mul', [z, mask]), head])]);
    g.output(losses['triplet']!.emit(g, { prediction, target: truth }), 'loss');
    const model = { irVersion: 10, opsets: { '': 21 }, producer: '', graph: g.build(), metadata: {} };
    const session = await openSession(encodeModel(model), { optimization: 'basic' });
    const rows = [1, -2, 0.5, 0.25, 3, 1];
    const feeds = { z: reals([3, 2], rows), mask: reals([3, 2], [0, 2, 2, 0, 0, 0]), truth: ints([0, 1, 0]) };
    const found = await session.run(feeds);
    await session.close();
    const whole = await lossAt({ ...setting([0, 1, 0]), options: { margin: 1 } }, [3, 2], rows);
    expect(Number(found['loss']!.data[0])).toBeCloseTo(whole.loss, 6);
  });

  it('moves the last layer as the cross-entropy alone does', async () => {
    const given = {
      ...setting([0, 1, 0, 1]),
      head: [
        [0.3, -0.7],
        [1.1, 0.2],
      ],
    };
    const z = [1, -2, 0.5, 0.25, 3, 1, -1, 0];
    const found = await lossAt(given, [4, 2], z);
    const alone = await lossAt({ ...given, loss: 'sparseCategoricalCrossentropy' }, [4, 2], z);
    expect(found.dhead).toEqual(alone.dhead);
  });

  it('refuses logits that no dense layer gives', async () => {
    const given = { loss: 'triplet', shape: ['N', 2], activation: 'Softmax', target: ints([0]) } as const;
    await expect(lossAt(given, [1, 2], [1, 2])).rejects.toMatchObject({ code: 'MAAS_MODEL_SHAPE' });
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
