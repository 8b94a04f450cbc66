import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import { SessionThread, ThreadLost } from '../../../src/runtime/thread/session-thread.js';

const of = (...values: number[]): NdArray => ({
  dtype: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});

/** next = sum + x, and twice that. */
function counter(): Uint8Array {
  const g = new GraphBuilder();
  const [sum, x] = [g.input('sum', 'float32', ['N']), g.input('x', 'float32', ['N'])];
  const next = g.op('Add', [sum, x], {}, { name: 'next' });
  g.output(next);
  g.output(g.op('Add', [next, next], {}, { name: 'twice' }));
  return encodeModel({ irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} });
}

let thread: SessionThread;
beforeEach(() => {
  thread = new SessionThread();
});
afterEach(() => thread.close());

describe('SessionThread', () => {
  it('keeps what a run leaves for the next, and gives copies of it', async () => {
    const session = await thread.open(counter());
    const start = of(0, 10);
    await thread.put({ total: start });
    const options = { fetches: ['twice'], use: { sum: 'total' }, keep: { next: 'total' } };
    expect(await session.run({ x: of(1, 1) }, options)).toEqual({ twice: of(2, 22) });
    expect(await thread.read(['total'])).toEqual({ total: of(1, 11) });
    expect(await session.run({ x: of(2, 2) }, options)).toEqual({ twice: of(6, 26) });
    const read = await thread.read(['total']);
    expect(read).toEqual({ total: of(3, 13) });
    (read['total']!.data as Float32Array).fill(99);
    expect(await thread.read(['total'])).toEqual({ total: of(3, 13) });
    expect(start).toEqual(of(0, 10));
  });

  it('returns what it is lent, and leaves alone what it is not', async () => {
    const session = await thread.open(counter());
    const room = Float32Array.of(7, 1, 2, 7);
    const view: NdArray = { dtype: 'float32', dims: [2], data: room.subarray(1, 3) };
    const { arrays, returned } = await session.runLent({ sum: of(5, 5), x: view });
    expect(arrays).toEqual({ next: of(6, 7), twice: of(12, 14) });
    expect(room).toHaveLength(0);
    expect(returned).toEqual({ sum: of(5, 5), x: of(1, 2) });
    const whole = new Float32Array((returned['x']!.data as Float32Array).buffer);
    expect(whole).toEqual(Float32Array.of(7, 1, 2, 7));
    const x = of(1);
    await session.run({ sum: x, x });
    expect(x).toEqual(of(1));
  });

  it('leaves this thread free, and carries out orders in turn', async () => {
    const session = await thread.open(counter());
    await thread.put({ total: of(0) });
    const options = { fetches: [], use: { sum: 'total' }, keep: { next: 'total' } };
    const runs = Array.from({ length: 20 }, (_, at) => session.run({ x: of(at) }, options));
    const read = thread.read(['total']);
    await Promise.all(runs);
    expect(await read).toEqual({ total: of(190) });
  });

  it('gives what it was told to open ahead to who asks for the same, once, and nobody else', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'maas-thread-'));
    const path = join(folder, 'model.onnx');
    await writeFile(path, counter());
    await thread.openAhead(path, { threads: 1 });
    // Only what is open already can still be opened now.
    await rm(folder, { recursive: true });
    const session = await thread.open(path, { threads: 1 });
    expect(await session.run({ sum: of(1), x: of(2) })).toEqual({ next: of(3), twice: of(6) });
    await expect(thread.open(path, { threads: 1 })).rejects.toThrow('refuses the model');
    await thread.openAhead(path, { threads: 1 });
    await expect(thread.open(path, { threads: 1 })).rejects.toThrow('refuses the model');
    await thread.openAhead(path, { threads: 1 });
    const other = await thread.open(counter(), { threads: 2 });
    expect(await other.run({ sum: of(1), x: of(2) })).toEqual({ next: of(3), twice: of(6) });
  });

  it('says what the runtime has to say', async () => {
    await expect(thread.open(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: 'MAAS_MODEL_INVALID' });
    const session = await thread.open(counter());
    await expect(session.run({ sum: of(1), x: of(1, 2, 3, 4) })).resolves.toBeDefined();
    await expect(session.run({ sum: of(1, 2), x: of(1, 2, 3) })).rejects.toThrow(/broadcast|dimension/i);
    expect(await session.run({ sum: of(1), x: of(2) }, { fetches: ['next'] })).toEqual({ next: of(3) });
  });

  it('is lost with its orders when its script dies, and told so once', async () => {
    const reasons: string[] = [];
    const entry = new URL('data:text/javascript,setTimeout(() => { throw new Error("out of luck") }, 20)');
    const dying = new SessionThread({ entry, onLost: (reason) => reasons.push(reason) });
    const open = dying.open(counter());
    await expect(open).rejects.toBeInstanceOf(ThreadLost);
    await expect(open).rejects.toThrow('out of luck');
    await expect(dying.read(['x'])).rejects.toBeInstanceOf(ThreadLost);
    await dying.close();
    expect(reasons).toEqual(['out of luck']);
  });

  it('does what it was told before it ends', async () => {
    const session = await thread.open(counter());
    const last = session.run({ sum: of(1), x: of(2) });
    await thread.close();
    expect((await last)['next']).toEqual(of(3));
    await expect(thread.read(['x'])).rejects.toBeInstanceOf(ThreadLost);
  });
});
