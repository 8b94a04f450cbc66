import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { attr, type Attributes, type Model } from '../../src/ir/graph.js';
import { convertOpset } from '../../src/ir/opset/convert.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { int64s, scalar, tensor, type NdArray } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';

const random = (() => {
  let state = 3;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
})();

function modelOf(
  opset: number,
  dims: readonly (number | string)[],
  grow: (g: GraphBuilder) => string[],
): Model {
  const g = new GraphBuilder();
  g.input('x', 'float32', dims);
  for (const name of grow(g)) g.output(name);
  return { irVersion: 4, opsets: { '': opset }, producer: 'test', metadata: {}, graph: g.build() };
}

async function run(model: Model, feeds: Record<string, NdArray>): Promise<unknown[]> {
  const session = await openSession(encodeModel(model));
  try {
    const outputs = await session.run(feeds);
    return Object.values(outputs).map(({ dims, data }) => [
      dims,
      Array.from(data as ArrayLike<number>, Number),
    ]);
  } finally {
    await session.close();
  }
}

function input(...dims: number[]): Record<string, NdArray> {
  const length = dims.reduce((product, dim) => product * dim, 1);
  return { x: { dtype: 'float32', dims, data: Float32Array.from({ length }, random) } };
}

const ints = (...values: number[]) => attr.ints(values);

/** Operators as operator sets 7 to 12 have them. */
const old: readonly [name: string, opset: number, dims: number[], grow: (g: GraphBuilder) => string[]][] = [
  [
    'Clip with bounds',
    7,
    [2, 5],
    (g) => [g.op('Clip', ['x'], { min: attr.float(-0.2), max: attr.float(0.3) })],
  ],
  ['Clip with one bound', 10, [2, 5], (g) => [g.op('Clip', ['x'], { max: attr.float(0.3) })]],
  [
    'Pad with a value',
    9,
    [2, 3],
    (g) => [g.op('Pad', ['x'], { pads: ints(1, 0, 0, 2), value: attr.float(2.5) })],
  ],
  [
    'Pad by reflection',
    10,
    [3, 3],
    (g) => [g.op('Pad', ['x'], { pads: ints(1, 1, 1, 1), mode: attr.string('reflect') })],
  ],
  [
    'Slice',
    9,
    [4, 5],
    (g) => [
      g.op('Slice', ['x'], { starts: ints(1, -3), ends: attr.ints([2n ** 31n - 1n, -1n]), axes: ints(0, 1) }),
    ],
  ],
  ['Slice without axes', 7, [4, 5], (g) => [g.op('Slice', ['x'], { starts: ints(1, 0), ends: ints(9, 2) })]],
  ['TopK', 9, [3, 6], (g) => g.ops('TopK', ['x'], { k: attr.int(2) }, { outputs: 2 })],
  [
    'Upsample',
    8,
    [1, 2, 3, 3],
    (g) => [g.op('Upsample', ['x'], { scales: attr.floats([1, 1, 2, 2.5]), mode: attr.string('nearest') })],
  ],
  [
    'Upsample with computed scales',
    9,
    [1, 1, 4, 4],
    (g) => [
      g.op('Upsample', ['x', g.op('Abs', [g.constant(tensor('float32', [4], [1, 1, 2, 3]))])], {
        mode: attr.string('linear'),
      }),
    ],
  ],
  [
    'Resize that enlarges',
    10,
    [1, 1, 3, 4],
    (g) => [
      g.op('Resize', ['x', g.constant(tensor('float32', [4], [1, 1, 2.3, 1.7]))], {
        mode: attr.string('nearest'),
      }),
    ],
  ],
  [
    'Resize that shrinks',
    10,
    [1, 1, 6, 7],
    (g) => [
      g.op('Resize', ['x', g.constant(tensor('float32', [4], [1, 1, 0.6, 0.4]))], {
        mode: attr.string('nearest'),
      }),
    ],
  ],
  [
    'Resize between pixels',
    10,
    [1, 1, 6, 7],
    (g) => [
      g.op('Resize', ['x', g.constant(tensor('float32', [4], [1, 1, 0.6, 1.4]))], {
        mode: attr.string('linear'),
      }),
    ],
  ],
  [
    'Resize to sizes',
    11,
    [1, 1, 6, 7],
    (g) => {
      const none = g.constant(tensor('float32', [0], []));
      return [g.op('Resize', ['x', none, none, g.int64s([1, 1, 3, 9])], { mode: attr.string('linear') })];
    },
  ],
  ['Softmax over all axes but the first', 11, [2, 3, 4], (g) => [g.op('Softmax', ['x'])]],
  ['Softmax over the last axis', 11, [2, 3, 4], (g) => [g.op('Softmax', ['x'], { axis: attr.int(-1) })]],
  ['LogSoftmax over everything', 7, [2, 3], (g) => [g.op('LogSoftmax', ['x'], { axis: attr.int(0) })]],
  ['Hardmax', 12, [2, 3, 2], (g) => [g.op('Hardmax', ['x'])]],
  ['Softmax over channels alone', 9, [2, 3, 1, 1], (g) => [g.op('Softmax', ['x'])]],
  [
    'Squeeze, Unsqueeze and ReduceSum',
    11,
    [3, 1, 4],
    (g) => {
      const rows = g.op('Unsqueeze', [g.op('Squeeze', ['x'], { axes: ints(1) })], { axes: ints(0, 3) });
      return [g.op('ReduceSum', [rows], { axes: ints(-2), keepdims: attr.int(0) }), g.op('ReduceSum', ['x'])];
    },
  ],
  [
    'Split by sizes and evenly',
    11,
    [6, 4],
    (g) => [
      ...g.ops('Split', ['x'], { split: ints(1, 5) }, { outputs: 2 }),
      ...g.ops('Split', ['x'], { axis: attr.int(1) }, { outputs: 2 }),
    ],
  ],
  [
    'means and norms',
    12,
    [3, 4, 2],
    (g) => [
      g.op('ReduceMean', ['x'], { axes: ints(1, 2) }),
      g.op('ReduceL2', ['x'], { axes: ints(-1), keepdims: attr.int(0) }),
      g.op('ReduceMax', ['x']),
    ],
  ],
  [
    'Dropout and BatchNormalization',
    7,
    [2, 3, 2, 2],
    (g) => {
      const each = (...values: number[]) => g.constant(tensor('float32', [3], values));
      const norms = [each(1, 2, 0.5), each(0, 1, -1), each(0.1, 0, 0.3), each(1, 0.5, 2)];
      return [
        g.op('Dropout', [g.op('BatchNormalization', ['x', ...norms], { spatial: attr.int(1) })], {
          ratio: attr.float(0.4),
        }),
      ];
    },
  ],
  [
    'Scatter',
    9,
    [3, 3],
    (g) => {
      const indices = g.constant(tensor('int64', [1, 3], [2n, 0n, 1n]));
      return [g.op('Scatter', ['x', indices, g.constant(tensor('float32', [1, 3], [7, 8, 9]))])];
    },
  ],
  [
    'a branch',
    11,
    [2, 3],
    (g) => {
      const branch = (axis: number): Attributes[string] => {
        const inner = g.inner(`axis ${axis}`);
        inner.output(inner.op('ReduceSum', ['x'], { axes: ints(axis), keepdims: attr.int(1) }));
        return attr.graph(inner.build());
      };
      const isLarge = g.op('Greater', [g.op('ReduceMax', ['x'], { keepdims: attr.int(0) }), g.scalar(0)]);
      return [g.op('If', [isLarge], { then_branch: branch(0), else_branch: branch(1) })];
    },
  ],
];

describe('a model of an old operator set', () => {
  it.each(old)('%s of operator set %i gives the same in later ones', async (_, opset, dims, grow) => {
    const model = modelOf(opset, dims, grow);
    const feeds = input(...dims);
    const expected = await run(model, feeds);
    for (const to of [13, 25]) {
      const { model: later, version, stopped } = convertOpset(model, to);
      expect([version, stopped]).toEqual([to, []]);
      expect(later.opsets['']).toBe(to);
      expect(await run(later, feeds)).toEqual(expected);
      expect(convertOpset(later, to).model).toBe(later);
    }
  });

  it('goes along one axis where neither rank nor sizes are known', async () => {
    const model = modelOf(11, [2, 3, 4], (g) => [
      g.op('Softmax', [g.op('Relu', ['x'])], { axis: attr.int(1) }),
    ]);
    const { graph } = model;
    const blind = {
      ...model,
      graph: { ...graph, inputs: [{ name: 'x', dtype: 'float32' as const }], values: new Map() },
    };
    const feeds = input(2, 3, 4);
    expect(await run(convertOpset(blind, 13).model, feeds)).toEqual(await run(model, feeds));
  });

  it('stays where a node has no counterpart, and names it', () => {
    const nearest = { mode: attr.string('nearest') };
    const resized = modelOf(9, [1, 1, 4, 4], (g) => [
      g.op(
        'Resize',
        [g.op('Slice', ['x'], { starts: ints(0), ends: ints(1) }), g.op('Shape', ['x'])],
        nearest,
        {
          name: 'unsure',
        },
      ),
    ]);
    const { model, version, stopped } = convertOpset(resized, 21);
    expect(version).toBe(10);
    expect(model.opsets).toEqual({ '': 10 });
    expect(stopped).toEqual([
      { node: 'unsure', reason: 'whether it enlarges or shrinks is not known beforehand' },
    ]);
    const masked = modelOf(9, [2, 2], (g) => g.ops('Dropout', ['x'], {}, { outputs: 2, name: 'drop' }));
    expect(convertOpset(masked, 13)).toMatchObject({
      model: masked,
      version: 9,
      stopped: [{ node: 'drop', reason: 'its mask is read, as numbers' }],
    });
    expect(convertOpset({ ...masked, opsets: { '': 6 } }, 13).stopped[0]!.reason).toBe(
      'operator set 6 is older than 7',
    );
    expect(convertOpset({ ...masked, rest: Uint8Array.of(1) }, 13).stopped).toHaveLength(1);
    expect(convertOpset({ ...masked, opsets: { 'ai.onnx.ml': 2 } }, 13).stopped).toHaveLength(1);
  });

  it('no longer lists its weights among its inputs', async () => {
    const model = modelOf(9, [1, 3], (g) => [
      g.op('Squeeze', [g.op('Add', ['x', g.initializer('w', scalar('float32', 2))])], { axes: ints(0) }),
    ]);
    const { graph } = model;
    const listed = {
      ...model,
      irVersion: 3,
      graph: { ...graph, inputs: [...graph.inputs, { name: 'w', dtype: 'float32' as const, shape: [] }] },
    };
    const { model: later } = convertOpset(listed, 13);
    expect(later.irVersion).toBe(7);
    expect(later.graph.inputs.map(({ name }) => name)).toEqual(['x']);
    expect([...later.graph.initializers.values()]).toContainEqual(int64s([0]));
    const feeds = input(1, 3);
    expect(await run(later, feeds)).toEqual(await run(listed, feeds));
  });
});
