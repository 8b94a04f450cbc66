import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { expansions } from '../../src/ir/gradient/expansions.js';
import { gradientRules, gradients } from '../../src/ir/gradient.js';
import { attr, type Dim, type Graph } from '../../src/ir/graph.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { sizeOf, tensor } from '../../src/ir/tensor.js';
import { openSession, type Session } from '../../src/runtime/session.js';
import { gradientCases, type GradientCase } from './gradient-cases.js';

type Real = 'float32' | 'float64';

function open(graph: Graph, threads = 1, opset = 21): Promise<Session> {
  const model = { irVersion: 10, opsets: { '': opset }, producer: 'test', graph, metadata: {} };
  return openSession(encodeModel(model), { optimization: 'basic', threads });
}

/** How much of the shapes the gradient is told: everything, all but the batch, or the rank alone. */
const knowledge: Record<string, (shape: readonly number[], input: number) => Dim[]> = {
  'known shapes': (shape) => [...shape],
  'a symbolic batch': (shape) => shape.map((size, axis) => (axis === 0 && size > 1 ? `size_${size}` : size)),
  'a symbolic batch of the first input': (shape, input) =>
    input === 0 ? ['batch', ...shape.slice(1)] : [...shape],
  'ranks only': (shape, input) => shape.map((_, axis) => `input_${input}_axis_${axis}`),
};

/** Σ w·y over the operator's outputs, with uneven weights, and its gradients. */
function differentiate(
  check: GradientCase,
  know: (shape: readonly number[], input: number) => Dim[],
  dtype: Real,
): Graph {
  const g = new GraphBuilder();
  const x = check.shapes.map((shape, index) => g.input(`x${index}`, dtype, know(shape, index)));
  const weigh = (outputs: string[]): string => {
    const terms = outputs.map((y, index) => {
      const values = Array.from({ length: 64 }, (_, at) => Math.cos(3 * at + index + 1));
      const real = g.dtypeOf(y) as Real;
      const count = g.op('Reshape', [g.op('Size', [y]), g.int64s([1])]);
      const weights = g.op('Slice', [g.constant(tensor(real, [64], values)), g.int64s([0]), count]);
      return g.op('ReduceSum', [g.op('Mul', [y, g.op('Reshape', [weights, g.op('Shape', [y])])])], {
        keepdims: attr.int(0),
      });
    });
    return terms.reduce((sum, term) => g.op('Add', [sum, term]));
  };
  const loss = weigh(check.build(g, x));
  const dx = gradients(g, loss, x);
  if (check.surrogate) {
    const base = check.shapes.map((shape, index) => g.input(`base${index}`, dtype, know(shape, index)));
    g.output(weigh(check.surrogate(g, x, base)), 'loss');
  } else g.output(loss, 'loss');
  x.forEach((name, index) => {
    g.output(dx.get(name) ?? zeros(g, name), `dx${index}`);
  });
  return g.build();
}

/** What a value that does not move the loss has as its gradient. */
function zeros(g: GraphBuilder, name: string): string {
  return g.op('Sub', [name, name]);
}

/** float64 where onnxruntime has kernels for it, else float32. */
async function openCase(
  check: GradientCase,
  know: (shape: readonly number[], input: number) => Dim[],
  threads: number,
) {
  const openAs = async (dtype: Real) => ({
    dtype,
    session: await open(differentiate(check, know, dtype), threads, check.opset),
  });
  if (check.single) return openAs('float32');
  try {
    return await openAs('float64');
  } catch (error) {
    if (!/Could not find an implementation|Type Error/.test(String(error))) throw error;
    return openAs('float32');
  }
}

const precision = {
  float64: { step: 1e-6, tolerance: 1e-7, array: Float64Array },
  float32: { step: 1e-2, tolerance: 3e-3, array: Float32Array },
};

async function compare(
  check: GradientCase,
  session: Session,
  dtype: Real,
  values: readonly (readonly number[])[],
) {
  const { step, tolerance, array } = precision[dtype];
  const arrays = values.map((numbers) => array.from(numbers));
  const feeds = Object.fromEntries(
    check.shapes.flatMap((dims, index) => {
      const data = arrays[index]!;
      const x = [`x${index}`, { dtype, dims, data }] as const;
      return check.surrogate ? [x, [`base${index}`, { dtype, dims, data: data.slice() }] as const] : [x];
    }),
  );
  const numberOf = async () => Number((await session.run(feeds, ['loss']))['loss']!.data[0]);
  const found = await session.run(feeds);
  expect(
    arrays.map((data) => Array.from(data)),
    'feeds are left alone',
  ).toEqual(values.map((numbers) => Array.from(array.from(numbers))));
  const again = await session.run(feeds);
  for (const [index, data] of arrays.entries()) {
    const dx = found[`dx${index}`]!;
    expect(dx.dims).toEqual(check.shapes[index]);
    expect(again[`dx${index}`]!.data, 'the same in every run').toEqual(dx.data);
    for (let at = 0; at < data.length; at++) {
      const value = data[at]!;
      data[at] = value + step;
      const [up, above] = [await numberOf(), data[at]!];
      data[at] = value - step;
      const [down, below] = [await numberOf(), data[at]!];
      data[at] = value;
      const slope = (up - down) / (above - below);
      const error = Math.abs(Number(dx.data[at]) - slope) / Math.max(1, Math.abs(slope));
      expect(error, `dx${index}[${at}] is ${String(dx.data[at])}, the slope ${slope}`).toBeLessThan(
        tolerance,
      );
    }
  }
}

/** Points that lie apart from each other and from 0 by more than a step, so that no difference crosses a kink. */
function points(check: GradientCase): fc.Arbitrary<number[][]> {
  const count = check.shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const half = Math.max(25, Math.ceil(0.6 * count));
  const spots = Array.from({ length: 2 * half }, (_, at) => at - half);
  return fc.shuffledSubarray(spots, { minLength: count, maxLength: count }).map((numbers) => {
    const values = numbers.map((number) =>
      (check.domain ?? ((value) => value))(((2 * number + 1) / (2 * half + 1)) * 2),
    );
    let start = 0;
    return check.shapes.map((shape) => values.slice(start, (start += sizeOf(shape))));
  });
}

describe('gradientRules', () => {
  it('are each checked', () => {
    const rules = [...Object.keys(gradientRules), ...Object.keys(expansions)];
    expect(Object.keys(gradientCases).sort()).toEqual(rules.sort());
  });

  const checks = Object.entries(gradientCases).flatMap(([op, cases]) =>
    cases.map((check) => [`${op}: ${check.what}`, check] as const),
  );
  const suits = (name: string, { sized = false }: GradientCase) =>
    name === 'known shapes' || sized === (name === 'a symbolic batch of the first input');
  describe.each(Object.entries(knowledge))('agree with finite differences, given %s', (name, know) => {
    it.each(checks.filter(([, check]) => suits(name, check)))('%s', async (_, check) => {
      // Two threads where it tells most: the sizes of a batch are what kernels share out.
      const { session, dtype } = await openCase(check, know, name.startsWith('a symbolic batch') ? 2 : 1);
      try {
        await fc.assert(
          fc.asyncProperty(points(check), (values) => compare(check, session, dtype, values)),
          { numRuns: name === 'known shapes' ? (check.sized ? 2 : 4) : 1 },
        );
      } finally {
        await session.close();
      }
    });
  });
});

it.each(
  Object.keys(expansions).flatMap((op) =>
    gradientCases[op]!.map((check) => [op, check.what, check] as const),
  ),
)('what stands for %s computes what the operator does: %s', async (_, __, check) => {
  const losses = [];
  for (const isExpanded of [false, true]) {
    const g = new GraphBuilder();
    const x = check.shapes.map((shape, index) => g.input(`x${index}`, 'float32', shape));
    const loss = check
      .build(g, x)
      .map((y) => g.op('ReduceSum', [g.op('Mul', [y, g.op('Cos', [y])])], { keepdims: attr.int(0) }))
      .reduce((sum, term) => g.op('Add', [sum, term]));
    if (isExpanded) gradients(g, loss, x);
    g.output(loss, 'loss');
    const session = await open(g.build(), 2, check.opset);
    const feeds = check.shapes.map((dims, index) => {
      const data = Float32Array.from({ length: sizeOf(dims) }, (_, at) => Math.sin(3 * at + index));
      return [`x${index}`, { dtype: 'float32' as const, dims, data }] as const;
    });
    losses.push(Number((await session.run(Object.fromEntries(feeds)))['loss']!.data[0]));
    await session.close();
  }
  expect(losses[1]).toBeCloseTo(losses[0]!, 4);
});

/** Gradient of Σ y for one input, run once. */
async function slopesAt(
  build: (g: GraphBuilder, x: string) => string,
  dims: number[],
  values: number[],
  threads = 1,
) {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', dims);
  const loss = g.op('ReduceSum', [build(g, x)], { keepdims: attr.int(0) });
  g.output(gradients(g, loss, [x]).get(x)!, 'dx');
  const session = await open(g.build(), threads);
  try {
    const runs = [];
    for (let count = 0; count < threads * 10; count++) {
      const found = await session.run({ x: { dtype: 'float32', dims, data: Float32Array.from(values) } });
      runs.push(Array.from(found['dx']!.data, Number));
    }
    expect(new Set(runs.map(String)).size, 'the same in every run').toBe(1);
    return runs[0];
  } finally {
    await session.close();
  }
}

describe('gradients at ties, zeros and extremes', () => {
  const op =
    (name: string, ...more: number[]) =>
    (g: GraphBuilder, x: string) =>
      g.op(name, [x, ...more.map((value) => g.scalar(value))]);

  it.each<[string, (g: GraphBuilder, x: string) => string, number[], number[]]>([
    ['Relu is flat at 0', op('Relu'), [0, -0, 1], [0, 0, 1]],
    ['Abs is flat at 0', op('Abs'), [0, -2, 2], [0, -1, 1]],
    [
      'LeakyRelu takes its negative side at 0',
      op('LeakyRelu'),
      [0, -1, 1],
      [Math.fround(0.01), Math.fround(0.01), 1],
    ],
    ['Max shares a tie', op('Max', 1), [1, 0, 2], [0.5, 0, 1]],
    ['Min shares a tie', op('Min', 1), [1, 0, 2], [0.5, 1, 0]],
    ['ReduceMax shares ties', op('ReduceMax'), [3, 1, 3, 0], [0.5, 0, 0.5, 0]],
    ['ReduceMax of blanks', op('ReduceMax'), [0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]],
    ['ReduceL2 at the origin', op('ReduceL2'), [0, 0], [0, 0]],
    ['Clip passes its bounds', op('Clip', -1, 1), [-1, 1, -2, 2], [1, 1, 0, 0]],
    ['0² and 0³', (g, x) => g.op('Add', [op('Pow', 2)(g, x), op('Pow', 3)(g, x)]), [0, 1], [0, 5]],
    ['x⁰ at 0', op('Pow', 0), [0, 2], [0, 0]],
    ['Softplus far out', op('Softplus'), [-200, 200], [0, 1]],
    ['Sigmoid far out', op('Sigmoid'), [-200, 200], [0, 0]],
    [
      'LogSoftmax far out',
      (g, x) => g.op('Mul', [g.op('LogSoftmax', [x]), g.constant(tensor('float32', [2], [1, 0]))]),
      [-1e4, 1e4],
      [1, -1],
    ],
    [
      'Where keeps out what it does not choose',
      (g, x) => g.op('Where', [g.op('Greater', [x, g.scalar(0)]), g.op('Log', [x]), x]),
      [2, -1],
      [0.5, 1],
    ],
  ])('%s', async (_, build, values, expected) => {
    const found = await slopesAt(build, [values.length], values);
    // −0 is as good as 0.
    expect(found!.map((value) => value + 0)).toEqual(expected);
  });

  it.each<[string, string, Record<string, number[]>, number[], number[], number[]]>([
    [
      'MaxPool shares ties within a tile, and blanks',
      'MaxPool',
      { kernel_shape: [2, 2], strides: [2, 2] },
      [2, 1, 2, 4],
      [5, 1, 0, 0, 5, 2, 0, 0, -1, -1, 3, 7, -1, -2, 7, 7],
      [1 / 2, 0, 1 / 4, 1 / 4, 1 / 2, 0, 1 / 4, 1 / 4, 1 / 3, 1 / 3, 0, 1 / 3, 1 / 3, 0, 1 / 3, 1 / 3],
    ],
    [
      'MaxPool takes the first of blanks where windows overlap',
      'MaxPool',
      { kernel_shape: [2], strides: [1] },
      [1, 2, 4],
      [0, 0, 0, 0, 1, 2, 2, 1],
      [1, 1, 1, 0, 0, 2, 1, 0],
    ],
    ['GlobalMaxPool shares ties', 'GlobalMaxPool', {}, [1, 2, 2], [3, 3, 0, 1], [0.5, 0.5, 0, 1]],
  ])('%s', async (_, name, lists, dims, values, expected) => {
    const attributes = Object.fromEntries(Object.entries(lists).map(([key, list]) => [key, attr.ints(list)]));
    const found = await slopesAt((g, x) => g.op(name, [x], attributes), dims, values, 2);
    expect(found).toEqual(expected.map(Math.fround));
  });

  it('adds up duplicate indices with two threads, the same every time', async () => {
    const picks = Array.from({ length: 4096 }, (_, index) => BigInt(index % 3));
    const found = await slopesAt(
      (g, x) => g.op('Gather', [x, g.constant(tensor('int64', [picks.length], picks))]),
      [3, 16],
      Array.from({ length: 48 }, () => 1),
      2,
    );
    expect(found).toEqual(Array.from({ length: 48 }, (_, at) => (at < 16 ? 1366 : 1365)));
  });
});

describe('gradients', () => {
  it('leaves out what the loss does not depend on', () => {
    const g = new GraphBuilder();
    const [a, b] = [g.input('a', 'float32', [2]), g.input('b', 'float32', [2])];
    g.op('Exp', [b]);
    const found = gradients(g, g.op('ReduceSum', [a], { keepdims: attr.int(0) }), [a, b]);
    expect([...found.keys()]).toEqual(['a']);
  });

  it('emits nothing for what is not wanted', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 3]);
    const w = g.input('w', 'float32', [3, 2]);
    const loss = g.op('ReduceSum', [g.op('MatMul', [x, w])], { keepdims: attr.int(0) });
    const before = g.nodes.length;
    gradients(g, loss, [w]);
    expect(g.nodes.slice(before).filter((node) => node.op === 'Gemm')).toHaveLength(1);
  });

  it('passes integers and their operators by', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', [4]);
    const best = g.op('ArgMax', [x], { keepdims: attr.int(0) });
    const y = g.op('Mul', [x, g.op('Cast', [best], { to: attr.int(1) })]);
    expect(gradients(g, g.op('ReduceSum', [y], { keepdims: attr.int(0) }), [x]).size).toBe(1);
  });

  it.each([
    ['Mystery', 'acme', 'acme:Mystery'],
    ['Det', '', 'Det'],
  ])('names an operator that it cannot go through (%s)', (op, domain, name) => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', [4]);
    const y = g.op(op, [x], {}, { domain, name: 'culprit' });
    const loss = g.op('ReduceSum', [y], { keepdims: attr.int(0) });
    expect(() => gradients(g, loss, [x])).toThrow(
      expect.objectContaining({
        code: 'MAAS_MODEL_UNSUPPORTED',
        message: `cannot train through ${name} (node culprit): it has no gradient rule`,
      }) as Error,
    );
  });

  it('names a size that it must know', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 3, 'H', 8]);
    const w = g.input('w', 'float32', [4, 3, 3, 3]);
    const loss = g.op('ReduceSum', [g.op('Conv', [x, w], {}, { name: 'wide' })], { keepdims: attr.int(0) });
    expect(() => gradients(g, loss, [w])).toThrow(
      'cannot train through Conv (node wide): the size of an axis that its kernel goes over is not known (H)',
    );
  });

  it('asks a pool in the graph for its indices instead of pooling again', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 1, 5]);
    const y = g.op('MaxPool', [x], { kernel_shape: attr.ints([2]) });
    gradients(g, g.op('ReduceSum', [y], { keepdims: attr.int(0) }), [x]);
    const pools = g.nodes.filter((node) => node.op === 'MaxPool');
    expect(pools.map((node) => node.outputs.length)).toEqual([2]);
    expect(g.typeOf(pools[0]!.outputs[1]!)).toEqual({ dtype: 'int64', shape: ['N', 1, 4] });
  });

  it('lets nothing flow through a mask', () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 4]);
    const parts = g.ops('Dropout', [x], {}, { outputs: 2 });
    const mask = g.op('Cast', [parts[1]!], { to: attr.int(1) });
    expect(gradients(g, g.op('ReduceSum', [mask], { keepdims: attr.int(0) }), [x]).size).toBe(0);
  });
});
