import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attr, type Attributes, type Graph, type Model, type Node } from '../../src/ir/graph.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import {
  freshNames,
  liftConstants,
  removeDead,
  renameReads,
  replaceNodes,
  sortNodes,
  stripDropout,
} from '../../src/ir/rewrite.js';
import { numbersOf, scalar, tensor } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';
import { denseModel } from './onnx/models.js';

function node(op: string, inputs: string[], outputs: string[], attributes: Attributes = {}): Node {
  return { op, domain: '', name: `${op}_${outputs[0]}`, inputs, outputs, attributes };
}

function graphOf(nodes: Node[], outputs: string[], extra: Partial<Graph> = {}): Graph {
  return {
    name: 'g',
    inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 4] }],
    outputs: outputs.map((name) => ({ name, dtype: 'float32' })),
    initializers: new Map(),
    nodes,
    values: new Map(),
    ...extra,
  };
}

async function run(graph: Graph): Promise<unknown> {
  const model: Model = { ...denseModel(), graph };
  const session = await openSession(encodeModel(model));
  const x = { dtype: 'float32' as const, dims: [1, 4], data: Float32Array.of(1, -2, 3, -4) };
  const results = await session.run({ [graph.inputs[0]!.name]: x });
  await session.close();
  return results;
}

describe('replaceNodes', () => {
  it('keeps what is left alone and leaves the given graph as it was', async () => {
    const { graph } = denseModel();
    const before = [...graph.nodes];
    const after = replaceNodes(graph, (old) => {
      if (old.op !== 'Relu') return undefined;
      const zero = 'zero';
      return {
        nodes: [{ ...old, op: 'Max', inputs: [...old.inputs, zero] }],
        initializers: [[zero, scalar('float32', 0)]],
      };
    });
    expect(graph.nodes).toEqual(before);
    expect(graph.initializers.has('zero')).toBe(false);
    expect(after.nodes[0]).toBe(graph.nodes[0]);
    expect(await run(after)).toEqual(await run(graph));
  });
});

describe('freshNames', () => {
  it('avoids names of values, nodes and subgraphs, and its own', () => {
    const inner = graphOf([node('Relu', ['x'], ['deep'])], ['deep'], { inputs: [] });
    const graph = graphOf([node('If', ['c'], ['y'], { then_branch: attr.graph(inner) })], ['y']);
    const fresh = freshNames(graph);
    expect([fresh('x'), fresh('deep'), fresh('If_y'), fresh('new'), fresh('new')]).toEqual([
      'x_1',
      'deep_1',
      'If_y_1',
      'new',
      'new_1',
    ]);
  });
});

describe('sortNodes', () => {
  it('brings any order back into one in which each node follows those it reads', () => {
    const chain = Array.from({ length: 12 }, (_, index) =>
      node('Add', [`v${Math.max(0, index - 1)}`, `v${Math.max(0, index - 3)}`], [`v${index + 1}`]),
    );
    fc.assert(
      fc.property(fc.shuffledSubarray(chain, { minLength: chain.length }), (nodes) => {
        const sorted = sortNodes(graphOf(nodes, ['v12'])).nodes;
        const written = new Set(['v0']);
        for (const { inputs, outputs } of sorted) {
          for (const name of inputs) expect(written.has(name)).toBe(true);
          for (const name of outputs) written.add(name);
        }
        expect(sorted).toHaveLength(chain.length);
      }),
    );
  });

  it('leaves a sorted graph in its order', () => {
    const { graph } = denseModel();
    expect(sortNodes(graph).nodes).toEqual(graph.nodes);
  });

  it('counts what a subgraph reads', () => {
    const inner = graphOf([node('Relu', ['a'], ['r'])], ['r'], { inputs: [] });
    const branch = node('If', ['c'], ['y'], { then_branch: attr.graph(inner) });
    const before = node('Relu', ['x'], ['a']);
    expect(sortNodes(graphOf([branch, before], ['y'])).nodes).toEqual([before, branch]);
  });

  it('refuses a cycle', () => {
    const nodes = [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b'])];
    expect(() => sortNodes(graphOf(nodes, ['b']))).toThrow(/cycle through/);
  });

  it('goes through chains longer than the call stack', () => {
    const chain = Array.from({ length: 50_000 }, (_, index) =>
      node('Relu', [`v${index}`], [`v${index + 1}`]),
    );
    expect(sortNodes(graphOf([...chain].reverse(), ['v50000'])).nodes).toEqual(chain);
  });
});

describe('removeDead', () => {
  it('removes nodes, weights and types that nothing needs', () => {
    const { graph } = denseModel();
    const dead = {
      ...graph,
      nodes: [...graph.nodes, node('Gemm', ['features', 'w9'], ['unused'])],
      initializers: new Map([...graph.initializers, ['w9', scalar('float32', 1)] as const]),
      values: new Map([...graph.values, ['unused', { name: 'unused' }] as const]),
    };
    expect(removeDead(dead)).toEqual(graph);
  });

  it('keeps what only a subgraph reads', () => {
    const inner = graphOf([node('Add', ['a', 'w'], ['r'])], ['r'], { inputs: [] });
    const nodes = [node('Relu', ['x'], ['a']), node('If', ['c'], ['y'], { then_branch: attr.graph(inner) })];
    const graph = graphOf(nodes, ['y'], { initializers: new Map([['w', scalar('float32', 1)]]) });
    expect(removeDead(graph)).toEqual(graph);
  });

  it('keeps inputs, but not those that only gave a removed weight its name', () => {
    const graph = graphOf([node('Relu', ['x'], ['y'])], ['y'], {
      inputs: [{ name: 'x' }, { name: 'spare' }, { name: 'w' }],
      initializers: new Map([['w', scalar('float32', 1)]]),
    });
    expect(removeDead(graph).inputs.map((value) => value.name)).toEqual(['x', 'spare']);
  });
});

describe('renameReads', () => {
  it('reaches readers inside subgraphs', () => {
    const inner = graphOf([node('Relu', ['a'], ['r'])], ['r'], { inputs: [] });
    const graph = graphOf([node('If', ['c'], ['y'], { then_branch: attr.graph(inner) })], ['y']);
    const branch = renameReads(graph, new Map([['a', 'b']])).nodes[0]!.attributes['then_branch'];
    expect(branch?.type === 'graph' && branch.value.nodes[0]!.inputs).toEqual(['b']);
  });
});

describe('liftConstants', () => {
  it('moves Constant nodes of every kind to the initializers', async () => {
    const nodes = [
      node('Constant', [], ['two'], { value: attr.tensor(tensor('float32', [1], [2])) }),
      node('Constant', [], ['half'], { value_float: attr.float(0.5) }),
      node('Constant', [], ['axes'], { value_ints: attr.ints([0]) }),
      node('Mul', ['x', 'two'], ['a']),
      node('Mul', ['a', 'half'], ['b']),
      node('Unsqueeze', ['b', 'axes'], ['y']),
    ];
    const graph = graphOf(nodes, ['y']);
    const lifted = liftConstants(graph);
    expect(lifted.nodes.map(({ op }) => op)).toEqual(['Mul', 'Mul', 'Unsqueeze']);
    expect([...lifted.initializers].map(([name, value]) => [name, numbersOf(value)])).toEqual([
      ['two', [2]],
      ['half', [0.5]],
      ['axes', [0]],
    ]);
    expect(await run(lifted)).toEqual(await run(graph));
  });
});

describe('stripDropout', () => {
  const ratio = new Map([['ratio', scalar('float32', 0.5)]]);

  it('takes Dropout out of an inference graph', async () => {
    const nodes = [
      node('Relu', ['x'], ['a']),
      node('Dropout', ['a', 'ratio'], ['d1', 'mask']),
      node('Dropout', ['d1'], ['d2']),
      node('Neg', ['d2'], ['y']),
    ];
    const graph = graphOf(nodes, ['y'], { initializers: ratio });
    const stripped = stripDropout(graph);
    expect(stripped.nodes.map(({ op, inputs }) => [op, ...inputs])).toEqual([
      ['Relu', 'x'],
      ['Neg', 'a'],
    ]);
    expect(stripped.initializers.size).toBe(0);
    expect(await run(stripped)).toEqual(await run(graph));
  });

  it('keeps the name of an output', () => {
    const graph = graphOf([node('Dropout', ['x'], ['y'])], ['y']);
    expect(stripDropout(graph).nodes).toEqual([{ ...graph.nodes[0]!, op: 'Identity' }]);
  });

  it('leaves Dropout that works, or whose mask is read', () => {
    const training = new Map([...ratio, ['on', { ...scalar('bool', 1), dtype: 'bool' as const }]]);
    const nodes = [node('Dropout', ['x', 'ratio', 'on'], ['a']), node('Dropout', ['a'], ['b', 'mask'])];
    const graph = graphOf(nodes, ['b', 'mask'], { initializers: training });
    expect(stripDropout(graph).nodes).toEqual(nodes);
  });
});
