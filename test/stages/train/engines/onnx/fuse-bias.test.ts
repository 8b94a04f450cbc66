import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import type { Graph } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { inferTypes } from '../../../../../src/ir/shapes.js';
import { sizeOf, tensor, type NdArray } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { fuseBias } from '../../../../../src/stages/train/engines/onnx/fuse-bias.js';
import { noise } from './jobs.js';

type Emit = (g: GraphBuilder, x: string) => string;

function graphOf(emit: Emit): Graph {
  const g = new GraphBuilder();
  g.output(emit(g, g.input('x', 'float32', ['N', 3, 4])), 'y');
  return g.build();
}
const weight = (g: GraphBuilder, ...dims: number[]): string =>
  g.constant(tensor('float32', dims, noise(sizeOf(dims), dims.join())));
const ops = ({ nodes }: Graph): string[] => nodes.map(({ op }) => op);

async function run(graph: Graph): Promise<number[]> {
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph, metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  const x: NdArray = { dtype: 'float32', dims: [2, 3, 4], data: noise(24, 'x') };
  const found = await session.run({ x });
  await session.close();
  return [...found['y']!.dims, ...(found['y']!.data as Float32Array)];
}

describe('fuseBias', () => {
  it.each<[string, Emit]>([
    ['after', (g, x) => g.op('Add', [g.op('MatMul', [x, weight(g, 4, 5)]), weight(g, 5)])],
    ['before', (g, x) => g.op('Add', [weight(g, 5), g.op('MatMul', [x, weight(g, 4, 5)])])],
    [
      'twice',
      (g, x) => {
        const hidden = g.op('Add', [g.op('MatMul', [x, weight(g, 4, 4)]), weight(g, 4)]);
        return g.op('Add', [g.op('MatMul', [g.op('Relu', [hidden]), weight(g, 4, 5)]), weight(g, 5)]);
      },
    ],
  ])('makes one product of rows, matrix and bias: %s', async (_, emit) => {
    const graph = graphOf(emit);
    const fused = fuseBias(graph);
    expect(ops(fused)).not.toContain('MatMul');
    expect(ops(fused)).not.toContain('Add');
    expect(inferTypes(fused).get('y')).toEqual(inferTypes(graph).get('y'));
    const [found, wanted] = [await run(fused), await run(graph)];
    expect(found).toHaveLength(wanted.length);
    for (const [at, value] of found.entries()) expect(value).toBeCloseTo(wanted[at]!, 5);
    expect(ops(graph)).toContain('MatMul');
  });

  it.each<[string, Emit]>([
    [
      'a product that is read elsewhere too',
      (g, x) => {
        const product = g.op('MatMul', [x, weight(g, 4, 5)]);
        return g.op('Mul', [g.op('Add', [product, weight(g, 5)]), product]);
      },
    ],
    [
      'what is added to each row',
      (g, x) => g.op('Add', [g.op('MatMul', [x, weight(g, 4, 5)]), weight(g, 3, 5)]),
    ],
    ['one number for all', (g, x) => g.op('Add', [g.op('MatMul', [x, weight(g, 4, 5)]), weight(g, 1)])],
    [
      'a matrix for each batch',
      (g, x) => g.op('Add', [g.op('MatMul', [x, weight(g, 1, 4, 5)]), weight(g, 5)]),
    ],
    ['a bias that widens', (g, x) => g.op('Add', [g.op('MatMul', [x, weight(g, 4, 1)]), weight(g, 5)])],
  ])('leaves alone %s', (_, emit) => {
    const graph = graphOf(emit);
    expect(fuseBias(graph).nodes).toEqual(graph.nodes);
  });
});
