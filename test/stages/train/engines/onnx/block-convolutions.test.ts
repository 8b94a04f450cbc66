import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { attr, type Attributes, type Graph } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { sizeOf, tensor, type NdArray } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { SessionThread } from '../../../../../src/runtime/thread/session-thread.js';
import {
  blockConvolutions,
  findBlock,
  useBlocks,
} from '../../../../../src/stages/train/engines/onnx/block-convolutions.js';
import { noise } from './jobs.js';

const thread = new SessionThread();
const block = await findBlock(thread);
afterAll(() => thread.close());

interface Case {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: readonly [number, number];
  readonly stride: number;
  readonly dilation: number;
  readonly pads: readonly number[] | 'SAME_UPPER';
  readonly offset: boolean;
}

function build({ inputs, outputs, kernel, stride, dilation, pads, offset }: Case, group = 1): Graph {
  const g = new GraphBuilder();
  const weight = (name: string, dims: number[]) => g.input(name, 'float32', dims);
  const reads = [g.input('x', 'float32', ['N', inputs * group, 11, 9])];
  reads.push(weight('w', [outputs, inputs, ...kernel]));
  if (offset) reads.push(weight('b', [outputs]));
  // onnxruntime takes no dilation with padding of its own choice.
  const auto = pads === 'SAME_UPPER';
  const padding: Attributes = auto ? { auto_pad: attr.string(pads) } : { pads: attr.ints(pads) };
  const y = g.op('Conv', reads, {
    ...padding,
    strides: attr.ints([stride, stride]),
    dilations: attr.ints(auto ? [1, 1] : [dilation, dilation]),
    group: attr.int(group),
  });
  g.output(y, 'y');
  return g.build();
}

async function run(graph: Graph, rows: number): Promise<Float32Array> {
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name, shape }): [string, NdArray] => {
      const dims = shape!.map((size) => (typeof size === 'number' ? size : rows));
      return [name, { dtype: 'float32', dims, data: noise(sizeOf(dims), name) }];
    }),
  );
  const model = { irVersion: 10, opsets: { '': 21 }, producer: '', graph, metadata: {} };
  const session = await openSession(encodeModel(model), { threads: 2, optimization: 'basic' });
  const found = await session.run(feeds);
  await session.close();
  return found['y']!.data as Float32Array;
}

const usual: Case = {
  ...{ rows: 2, inputs: 16, outputs: 16, kernel: [3, 3], stride: 1, dilation: 1 },
  ...{ pads: [1, 1, 1, 1], offset: true },
};

describe.skipIf(block === undefined)(`convolutions on blocks of ${block ?? 'no'} channels`, () => {
  let untouched = 0;
  it('give what convolutions of images give', async () => {
    const pad = fc.integer({ min: 0, max: 2 });
    const any = fc.record<Case>({
      rows: fc.integer({ min: 1, max: 3 }),
      inputs: fc.constantFrom(1, 3, 5, 8, 16, 24, 32, 48),
      outputs: fc.constantFrom(8, 10, 16, 32, 48),
      kernel: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
      stride: fc.integer({ min: 1, max: 3 }),
      dilation: fc.integer({ min: 1, max: 2 }),
      pads: fc.oneof(fc.tuple(pad, pad, pad, pad), fc.constant('SAME_UPPER' as const)),
      offset: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(any, async (each) => {
        const plain = build(each);
        const blocked = blockConvolutions(plain, block!);
        if (!blocked.nodes.some(({ domain }) => domain !== '')) untouched++;
        const [expected, found] = [await run(plain, each.rows), await run(blocked, each.rows)];
        expect(found.length).toBe(expected.length);
        found.forEach((value, at) => {
          expect(Math.abs(value - expected[at]!)).toBeLessThan(1e-4);
        });
      }),
      { numRuns: 40, examples: [[usual], [{ ...usual, inputs: 3 }], [{ ...usual, kernel: [1, 1] }]] },
    );
    expect(untouched).toBeGreaterThan(0);
    expect(untouched).toBeLessThan(40);
  });

  it('are left alone in groups, over single places, on other axes and other types', async () => {
    const grouped = build({ ...usual, inputs: 16, outputs: 32 }, 2);
    const single = build({ ...usual, kernel: [1, 1], pads: [0, 0, 0, 0] });
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 16, 10]);
    g.output(g.op('Conv', [x, g.constant(tensor('float32', [16, 16, 3], noise(768, 'w')))]));
    for (const graph of [grouped, single, g.build()]) {
      expect(blockConvolutions(graph, block!).nodes).toEqual(graph.nodes);
    }
    expect((await useBlocks(build(usual), thread)).nodes.map(({ op }) => op)).toContain('ReorderInput');
  });
});

it('asks nothing of onnxruntime where nothing is convolved', async () => {
  const g = new GraphBuilder();
  g.output(g.op('Relu', [g.input('x', 'float32', [1])]));
  const graph = g.build();
  expect(await useBlocks(graph, undefined as never)).toBe(graph);
});
