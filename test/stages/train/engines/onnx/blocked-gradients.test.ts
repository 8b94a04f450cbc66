import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { gradients } from '../../../../../src/ir/gradient.js';
import { attr, type Graph } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { sizeOf, type NdArray } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { SessionThread } from '../../../../../src/runtime/thread/session-thread.js';
import { findBlock } from '../../../../../src/stages/train/engines/onnx/block-convolutions.js';
import { noise } from './jobs.js';

const thread = new SessionThread();
const block = await findBlock(thread);
afterAll(() => thread.close());

interface Case {
  readonly op: 'Conv' | 'ConvTranspose';
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: readonly [number, number];
  readonly stride: number;
  readonly dilation: number;
  readonly pads: readonly number[];
}

/** The gradient of a kernel. */
function build({ op, inputs, outputs, kernel, stride, dilation, pads }: Case, blocks?: number): Graph {
  const g = new GraphBuilder();
  g.block = blocks;
  const x = g.input('x', 'float32', ['N', inputs, 11, 9]);
  const dims = op === 'Conv' ? [outputs, inputs, ...kernel] : [inputs, outputs, ...kernel];
  const w = g.input('w', 'float32', dims);
  const y = g.op(op, [x, w], {
    pads: attr.ints(pads),
    strides: attr.ints([stride, stride]),
    dilations: attr.ints([dilation, dilation]),
  });
  const loss = g.op('ReduceMean', [g.op('Mul', [y, y])], { keepdims: attr.int(0) });
  g.output(gradients(g, loss, ['w']).get('w')!, 'dw');
  return g.build();
}

async function run(graph: Graph, rows: number): Promise<NdArray> {
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
  return found['dw']!;
}

const usual: Case = {
  ...{ op: 'Conv', rows: 2, inputs: 16, outputs: 16, kernel: [3, 3], stride: 1, dilation: 1 },
  pads: [1, 1, 1, 1],
} as const;

describe.skipIf(block === undefined)(`gradients of kernels on blocks of ${block ?? 'no'} channels`, () => {
  it('are those of products by tap', async () => {
    const pad = fc.integer({ min: 0, max: 2 });
    const any = fc.record<Case>({
      op: fc.constantFrom('Conv', 'ConvTranspose'),
      rows: fc.constantFrom(1, 3, 8, 16, 17),
      inputs: fc.constantFrom(3, 8, 16, 32),
      outputs: fc.constantFrom(10, 16, 32),
      kernel: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
      stride: fc.integer({ min: 1, max: 3 }),
      dilation: fc.integer({ min: 1, max: 2 }),
      pads: fc.tuple(pad, pad, pad, pad),
    });
    let blocked = 0;
    await fc.assert(
      fc.asyncProperty(any, async (each) => {
        const graph = build(each, block);
        if (graph.nodes.some(({ domain }) => domain.endsWith('nchwc'))) blocked++;
        const [expected, found] = [await run(build(each), each.rows), await run(graph, each.rows)];
        expect(found.dims).toEqual(expected.dims);
        const scale = (expected.data as Float32Array).reduce(
          (most, value) => Math.max(most, Math.abs(value)),
          0,
        );
        (found.data as Float32Array).forEach((value, at) => {
          expect(Math.abs(value - Number(expected.data[at]))).toBeLessThan(1e-5 * scale);
        });
      }),
      {
        numRuns: 15,
        examples: [[usual], [{ ...usual, stride: 2, inputs: 9 }], [{ ...usual, op: 'ConvTranspose' }]],
      },
    );
    expect(blocked).toBeGreaterThan(3);
    expect(blocked).toBeLessThan(15);
  });
});
