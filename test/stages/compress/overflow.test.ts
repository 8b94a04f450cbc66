import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Model } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import { findOverflows } from '../../../src/stages/compress/overflow.js';

it('finds sums that overflow in layers whose weights are on disk', async () => {
  const g = new GraphBuilder();
  const weight = g.constant(tensor('int8', [2, 1], Int8Array.of(127, 127)));
  const product = g.op('MatMulInteger', [g.input('x', 'uint8', ['N', 2]), weight], {}, { name: 'dense' });
  g.output(g.op('Identity', [product]), 'y');
  const graph = g.build();
  const folder = await mkdtemp(join(tmpdir(), 'maas-overflow-'));
  try {
    const path = join(folder, 'weights');
    await writeFile(path, Int8Array.of(127, 127));
    const data = { path, offset: 0, length: 2 };
    const initializers = new Map(graph.initializers).set(weight, { dtype: 'int8', dims: [2, 1], data });
    const model: Model = {
      irVersion: 10,
      opsets: { '': 21 },
      graph: { ...graph, initializers },
      producer: 'test',
      metadata: {},
    };
    const x = { dtype: 'uint8' as const, dims: [2, 2], data: Uint8Array.of(255, 255, 1, 1) };
    expect(await findOverflows(model, { x })).toEqual([{ node: 'dense', share: 0.5 }]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
