import { describe, expect, it } from 'vitest';
import { useBatchStatistics } from '../../src/ir/batch-statistics.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { gradients } from '../../src/ir/gradient.js';
import { attr, type Graph } from '../../src/ir/graph.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { tensor } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';

/** One batch normalization of two channels, or two that share their running statistics. */
function network(times = 1, momentum = 0.75): Graph {
  const g = new GraphBuilder();
  let x = g.input('x', 'float32', ['N', 2, 3]);
  const state = (name: string, values: number[]) => g.initializer(name, tensor('float32', [2], values));
  const weights = [
    state('scale', [1, 2]),
    state('bias', [0, 1]),
    state('mean', [0.5, -1]),
    state('variance', [1, 4]),
  ];
  for (let time = 0; time < times; time++) {
    x = g.op('BatchNormalization', [x, ...weights], {
      epsilon: attr.float(0),
      momentum: attr.float(momentum),
    });
  }
  g.output(x, 'y');
  return g.build();
}

async function run(graph: Graph, data: number[]) {
  const model = { irVersion: 10, opsets: { '': 17 }, producer: 'test', graph, metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  try {
    const x = Float32Array.from(data);
    const found = await session.run({ x: { dtype: 'float32', dims: [data.length / 6, 2, 3], data: x } });
    expect(Array.from(x), 'feeds are left alone').toEqual(Array.from(Float32Array.from(data)));
    return (name: string) => Array.from(found[name]!.data, Number);
  } finally {
    await session.close();
  }
}

const batch = [1, 2, 3, 10, 10, 10, 4, 5, 6, 10, 10, 16];

describe('useBatchStatistics', () => {
  it('normalizes with the statistics of the batch and moves the running ones', async () => {
    const { graph, running } = useBatchStatistics(network());
    expect(running.map(({ name }) => name)).toEqual(['mean', 'variance']);
    const outputs = [...graph.outputs, ...running.map(({ next }) => ({ name: next }))];
    const found = await run({ ...graph, outputs }, batch);
    // Channel 0: mean 3.5, variance 35/12; channel 1: mean 11, variance 5.
    const rates = [1 / Math.sqrt(35 / 12), 2 / Math.sqrt(5)];
    const expected = batch.map((value, at) =>
      Math.floor(at / 3) % 2 === 0 ? (value - 3.5) * rates[0]! : (value - 11) * rates[1]! + 1,
    );
    found('y').forEach((value, at) => {
      expect(value).toBeCloseTo(expected[at]!, 5);
    });
    const [mean, variance] = running.map(({ next }) => found(next));
    expect(mean).toEqual([0.75 * 0.5 + 0.25 * 3.5, 0.75 * -1 + 0.25 * 11]);
    expect(variance![0]).toBeCloseTo(0.75 + (0.25 * 35) / 12 / (5 / 6), 5);
    expect(variance![1]).toBeCloseTo(0.75 * 4 + (0.25 * 5) / (5 / 6), 5);
  });

  it('goes on from what the first of two nodes that share statistics left', async () => {
    const { graph, running } = useBatchStatistics(network(2));
    expect(running).toHaveLength(2);
    const outputs = running.map(({ next }) => ({ name: next }));
    const found = await run({ ...graph, outputs }, batch);
    // The second sees the first one's output: means 0 and 1.
    const mean = found(running[0]!.next);
    expect(mean[0]).toBeCloseTo(0.75 * (0.75 * 0.5 + 0.25 * 3.5), 5);
    expect(mean[1]).toBeCloseTo(0.75 * (0.75 * -1 + 0.25 * 11) + 0.25, 5);
  });

  it('keeps what it is told to keep', () => {
    const graph = network();
    const kept = useBatchStatistics(graph, () => true);
    expect(kept.running).toEqual([]);
    expect(kept.graph.nodes).toEqual(graph.nodes);
  });

  it('has no variance to learn from a single element', async () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 2, 3]);
    const first = g.op('Slice', [x, g.int64s([0]), g.int64s([1]), g.int64s([2])]);
    const state = (name: string, value: number) =>
      g.initializer(name, tensor('float32', [2], [value, value]));
    const inputs = [first, state('scale', 1), state('bias', 0), state('mean', 0), state('variance', 1)];
    g.op('BatchNormalization', inputs);
    const { graph, running } = useBatchStatistics(g.build());
    const found = await run({ ...graph, outputs: [{ name: running[1]!.next }] }, [1, 2, 3, 4, 5, 6]);
    found(running[1]!.next).forEach((value) => {
      expect(value).toBeCloseTo(0.9, 6);
    });
  });

  it('leads to a gradient without a second pass over the statistics', () => {
    const g = new GraphBuilder(useBatchStatistics(network()).graph);
    const before = g.nodes.length;
    gradients(g, g.op('ReduceSum', ['y'], { keepdims: attr.int(0) }), ['x', 'scale', 'bias']);
    const added = g.nodes.slice(before).map((node) => node.op);
    expect(added.filter((op) => op === 'BatchNormalization')).toHaveLength(1);
    expect(added.filter((op) => op === 'ReduceSum')).toHaveLength(3);
  });

  it('takes no name that a later node has', async () => {
    const before = network();
    const g = new GraphBuilder(before);
    for (const op of ['Add', 'Mul', 'Sub', 'Div', 'Max']) {
      for (const name of ['', '_1']) g.op(op, ['y', 'y'], {}, { name: `${op.toLowerCase()}${name}` });
    }
    g.op('ReduceSum', ['y', g.int64s([0, 1, 2])]);
    g.op('Reshape', ['y', g.int64s([-1])]);
    g.output('add');
    const { graph } = useBatchStatistics(g.build());
    const names = graph.nodes.flatMap(({ outputs }) => outputs);
    expect(new Set(names).size).toBe(names.length);
    const found = await run(graph, batch);
    expect(found('add')).toEqual(found('y').map((value) => 2 * value));
  });

  it('names a node whose input has no known rank', () => {
    const graph = network();
    const blind = { ...graph, inputs: [{ name: 'x' }], values: new Map(), outputs: [{ name: 'y' }] };
    expect(() => useBatchStatistics(blind)).toThrow(
      /cannot train BatchNormalization \(node .*\): the shape of x/,
    );
  });
});
