import { describe, expect, it } from 'vitest';
import { sliceRows } from '../../../../../src/data/rows.js';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { attr, type Graph } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { tensor, type NdArray } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { SessionThread } from '../../../../../src/runtime/thread/session-thread.js';
import { compileStep } from '../../../../../src/stages/train/engines/onnx/compile-step.js';
import { partFrozen, prepareTable } from '../../../../../src/stages/train/engines/onnx/prepare.js';
import { openRooms } from '../../../../../src/stages/train/engines/onnx/rooms.js';
import { classes, classifier, job, noise } from './jobs.js';

const rows = 300;
const asModel = (graph: Graph) => ({
  irVersion: 10,
  opsets: { '': 21, 'ai.onnx.ml': 4 },
  producer: 'test',
  graph,
  metadata: {},
});

/** A graph [N, 4] → `out`, and a table that feeds it. */
function made(emit: (g: GraphBuilder, x: string, w: string) => string) {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['N', 4]);
  const w = g.initializer('w', tensor('float32', [4, 4], noise(16, 'w')));
  g.output(emit(g, x, w));
  const x0: NdArray = { dtype: 'float32', dims: [rows, 4], data: noise(rows * 4, 'x') };
  const table = { rows, lines: new Uint32Array(rows), inputs: { x: x0 }, target: x0 };
  return { graph: g.build(), table };
}

describe('partFrozen', () => {
  it('takes look-ups and one-hot columns out of the step', () => {
    const { preparation, model, inputs } = compileStep(job(classifier(), classes(), ''));
    const ops = (graph: Graph) => graph.nodes.map(({ op }) => op);
    expect(ops(preparation!.graph)).toEqual(['LabelEncoder', 'OneHot', 'Reshape', 'Concat']);
    expect(ops(model.graph)).not.toContain('LabelEncoder');
    expect(inputs).toEqual(preparation!.graph.outputs.map(({ name }) => name));
  });

  it.each<[string, (g: GraphBuilder, x: string, w: string) => string, string[]]>([
    ['a scaling', (g, x, w) => g.op('MatMul', [g.op('Div', [x, g.scalar(3)]), w]), ['Div']],
    [
      'a frozen layer',
      (g, x, w) => {
        const frozen = g.constant(tensor('float32', [4, 4], noise(16, 'frozen')));
        return g.op('MatMul', [g.op('Relu', [g.op('Gemm', [x, frozen])]), w]);
      },
      ['Gemm', 'Relu'],
    ],
    [
      'columns in another order, cut and brought together',
      (g, x, w) => {
        const part = g.op('Slice', [x, g.int64s([1]), g.int64s([3]), g.int64s([1])]);
        const picked = g.op('Gather', [x, g.int64s([3, 0])], { axis: attr.int(1) });
        return g.op('MatMul', [g.op('Concat', [part, picked], { axis: attr.int(-1) }), w]);
      },
      ['Slice', 'Gather', 'Concat'],
    ],
  ])('hands on %s, to the bit', async (_, emit, ops) => {
    const { graph, table } = made(emit);
    const { preparation, rest } = partFrozen(graph, new Set(['w']), table);
    expect(preparation!.nodes.map(({ op }) => op)).toEqual(ops);
    const whole = await openSession(encodeModel(asModel(graph)), { optimization: 'basic' });
    const part = await openSession(encodeModel(asModel(rest)), { optimization: 'basic' });
    const place = { thread: new SessionThread(), rooms: openRooms() };
    const columns = await prepareTable(place, asModel(preparation!), table, 1);
    await place.thread.close();
    const wanted = rest.inputs.map(({ name }) => [name, columns[name]!] as const);
    const feeds = sliceRows(Object.fromEntries(wanted), 0, table.rows);
    expect(await part.run(feeds)).toEqual(await whole.run(sliceRows(table.inputs, 0, table.rows)));
    await Promise.all([whole.close(), part.close()]);
  });

  it.each<[string, (g: GraphBuilder, x: string, w: string) => string]>([
    ['sums over the rows', (g, x, w) => g.op('MatMul', [g.op('ReduceSum', [x, g.int64s([0])]), w])],
    ['shares of the rows', (g, x, w) => g.op('MatMul', [g.op('Softmax', [x], { axis: attr.int(0) }), w])],
    [
      'rows against rows',
      (g, x, w) => {
        const flat = g.op('Reshape', [
          g.op('Slice', [x, g.int64s([0]), g.int64s([1]), g.int64s([1])]),
          g.int64s([-1]),
        ]);
        const apart = g.op('Sub', [x, g.op('Transpose', [g.op('Unsqueeze', [flat, g.int64s([1])])])]);
        return g.op('MatMul', [apart, w]);
      },
    ],
    ['what depends on weights', (g, x, w) => g.op('Relu', [g.op('MatMul', [x, w])])],
    ['random numbers', (g, x, w) => g.op('MatMul', [g.op('RandomUniformLike', [x]), w])],
  ])('leaves %s alone', (_, emit) => {
    const { graph, table } = made(emit);
    const { preparation, rest } = partFrozen(graph, new Set(['w']), table);
    const moved = preparation?.nodes.map(({ op }) => op) ?? [];
    for (const op of ['ReduceSum', 'Softmax', 'Sub', 'MatMul', 'Relu', 'RandomUniformLike']) {
      expect(moved).not.toContain(op);
    }
    expect(rest.outputs).toEqual(graph.outputs);
  });

  it('computes at each step what would take too much room', () => {
    const { graph, table } = made((g, x, w) => g.op('Add', [x, g.op('MatMul', [g.op('Neg', [x]), w])]));
    const open = new Set(['w']);
    expect(partFrozen(graph, open, table).preparation).toBeDefined();
    expect(partFrozen(graph, open, { ...table, rows: 10 ** 8 }).preparation).toBeUndefined();
  });
});
