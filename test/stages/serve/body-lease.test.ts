import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import type { Protocol } from '../../../src/plugin/api.js';
import { start } from './start.js';

it('writes over no body that a run still reads, though its request has been answered', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-lease-'));
  const graph = new GraphBuilder('twice');
  graph.output(graph.op('Add', [graph.input('x', 'float32', ['N', 50_000]), 'x']), 'y');
  const rest = { irVersion: 10, opsets: { '': 21 }, producer: 'test', metadata: {} };
  await writeFile(join(folder, 'twice.onnx'), encodeModel({ ...rest, graph: graph.build() }));
  const sums: Promise<number>[] = [];
  const hasty: Protocol = {
    name: 'hasty',
    summary: 'answers before its runs have ended',
    handle: async ({ body }, host) => {
      const model = (await host.model(undefined))!;
      const data = new Float32Array(body.buffer, body.byteOffset, 50_000);
      const outputs = model.predict({ x: { dtype: 'float32', dims: [1, 50_000], data } });
      sums.push(outputs.then(({ y }) => (y!.data as Float32Array).reduce((sum, value) => sum + value, 0)));
      return { status: 200, body: '' };
    },
  };
  const server = await start(join(folder, 'twice.onnx'), {
    kind: 'file',
    protocols: [hasty],
    // Time for the next bodies to come in.
    options: { maxDelayMs: 50 },
  });
  try {
    for (let round = 0; round < 3; round++) {
      for (let value = 1; value <= 4; value++) {
        const body = Buffer.from(new Float32Array(50_000).fill(value).buffer);
        expect((await fetch(`${server.url}/hasty`, { method: 'POST', body })).status).toBe(200);
      }
      expect(await Promise.all(sums.splice(0))).toEqual([1e5, 2e5, 3e5, 4e5]);
    }
  } finally {
    await server.stop();
    await rm(folder, { recursive: true });
  }
});
