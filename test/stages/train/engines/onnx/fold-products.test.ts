import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { gradients } from '../../../../../src/ir/gradient.js';
import { attr, type Graph } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { inferTypes } from '../../../../../src/ir/shapes.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { foldProducts } from '../../../../../src/stages/train/engines/onnx/fold-products.js';
import { noise } from './jobs.js';

type Emit = (g: GraphBuilder, a: string, b: string) => string;

const [rows, inner, columns] = [3, 5, 4];
const turn = (g: GraphBuilder, x: string): string =>
  g.op('Transpose', [x], { perm: attr.ints([0, 1, 3, 2]) });

/** a [2, N, 3, 5] and b [2, N, 4, 5], with gradients of both. */
function graphOf(emit: Emit): Graph {
  const g = new GraphBuilder();
  const a = g.input('a', 'float32', [2, 'N', rows, inner]);
  const b = g.input('b', 'float32', [2, 'N', columns, inner]);
  const y = emit(g, a, b);
  const loss = g.op('ReduceSum', [g.op('Mul', [y, y])], { keepdims: attr.int(0) });
  const found = gradients(g, loss, ['a', 'b']);
  g.output(y, 'y');
  for (const name of ['a', 'b']) g.output(found.get(name)!, `d${name}`);
  return g.build();
}

async function run(graph: Graph): Promise<Record<string, number[]>> {
  const model = {
    irVersion: 10,
    opsets: { '': 21, 'com.microsoft': 1 },
    producer: 'test',
    graph,
    metadata: {},
  };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  const array = (name: string, size: number) => {
    const dims = [2, 3, size, inner];
    return { dtype: 'float32' as const, dims, data: noise(6 * size * inner, name) };
  };
  const found = await session.run({ a: array('a', rows), b: array('b', columns) });
  await session.close();
  return Object.fromEntries(
    Object.entries(found).map(([name, { dims, data }]) => [name, [...dims, ...(data as Float32Array)]]),
  );
}

const count = ({ nodes }: Graph, op: string): number => nodes.filter((node) => node.op === op).length;
const scores: Emit = (g, a, b) => g.op('MatMul', [g.op('Mul', [a, g.scalar(0.3)]), turn(g, b)]);

describe('foldProducts', () => {
  it.each<[string, Emit]>([
    ['scaled before', scores],
    ['scaled after', (g, a, b) => g.op('Div', [g.op('MatMul', [a, turn(g, b)]), g.scalar(3)])],
    [
      'scaled on both sides',
      (g, a, b) => {
        const scale = g.scalar(0.5);
        return g.op('MatMul', [g.op('Mul', [a, scale]), turn(g, g.op('Mul', [scale, b]))]);
      },
    ],
    ['turned twice', (g, a, b) => g.op('MatMul', [turn(g, turn(g, a)), turn(g, b)])],
    ['turned after', (g, a, b) => turn(g, g.op('MatMul', [a, turn(g, b)]))],
    [
      'turned and read by another product',
      (g, a, b) => g.op('MatMul', [turn(g, g.op('MatMul', [a, turn(g, b)])), a]),
    ],
  ])('says the same, with gradients, without turning and scaling: %s', async (_, emit) => {
    const graph = graphOf(emit);
    const folded = foldProducts(graph);
    expect(count(folded, 'Transpose')).toBe(0);
    expect(count(folded, 'Div')).toBe(0);
    // Those of the loss.
    expect(count(folded, 'Mul')).toBeLessThanOrEqual(
      count(
        graphOf((g, a, b) => g.op('MatMul', [a, turn(g, b)])),
        'Mul',
      ),
    );
    expect(inferTypes(folded).get('y')).toEqual(inferTypes(graph).get('y'));
    const [found, wanted] = [await run(folded), await run(graph)];
    for (const [name, values] of Object.entries(wanted)) {
      expect(found[name]).toHaveLength(values.length);
      for (const [at, value] of values.entries()) expect(found[name]![at]).toBeCloseTo(value, 4);
    }
  });

  it('keeps what others read', async () => {
    const graph = graphOf((g, a, b) => {
      const [half, turned] = [g.op('Mul', [a, g.scalar(0.5)]), turn(g, b)];
      const product = g.op('MatMul', [half, turned]);
      const other = g.op('ReduceSum', [half, g.int64s([-1])]);
      return g.op('Add', [g.op('Add', [g.op('Mul', [product, g.scalar(2)]), product]), other]);
    });
    const [found, wanted] = [await run(foldProducts(graph)), await run(graph)];
    for (const [name, values] of Object.entries(wanted)) {
      for (const [at, value] of values.entries()) expect(found[name]![at]).toBeCloseTo(value, 4);
    }
  });

  it('leaves alone a number for each column, and other axes', () => {
    const g = new GraphBuilder();
    const a = g.input('a', 'float32', [2, 2, rows, inner]);
    const weighed = g.op('Mul', [a, g.input('w', 'float32', [inner])]);
    const product = g.op('MatMul', [weighed, turn(g, g.input('b', 'float32', [2, 2, columns, inner]))]);
    g.output(g.op('Transpose', [product], { perm: attr.ints([1, 0, 2, 3]) }));
    const folded = foldProducts(g.build());
    expect(folded.nodes.map(({ op }) => op)).toEqual(['Mul', 'FusedMatMul', 'Transpose']);
  });
});
