import fc from 'fast-check';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sliceRows } from '../../../../../src/data/rows.js';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { optimizers } from '../../../../../src/ir/optimizers.js';
import { sizeOf, tensor, type NdArray } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { compileStep } from '../../../../../src/stages/train/engines/onnx/compile-step.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { emitUpdates, partedDims } from '../../../../../src/stages/train/engines/onnx/update.js';
import { fingerprint, job, noise, plane, type Network } from './jobs.js';

describe('partedDims', () => {
  it('splits the first axis of what is heavy into equal parts, and leaves the rest', () => {
    const dim = fc.integer({ min: 1, max: 3000 });
    fc.assert(
      fc.property(fc.array(dim, { maxLength: 3 }), (dims) => {
        const parted = partedDims(dims);
        if (parted === dims) return;
        const [parts, rows, ...rest] = parted;
        expect([parts! * rows!, ...rest]).toEqual(dims);
        expect(parts).toBeGreaterThan(3);
      }),
    );
    expect(partedDims([2048, 2048])).toEqual([32, 64, 2048]);
    expect(partedDims([10, 2 ** 20])).toEqual([10, 1, 2 ** 20]);
    for (const light of [[], [2 ** 24], [512, 512], [1009, 2048], [3, 2 ** 24]]) {
      expect(partedDims(light)).toBe(light);
    }
  });
});

/** What the updates of weights of these shapes give, all emitted at once or each for itself. */
async function runUpdates(
  name: string,
  shapes: readonly number[][],
  { parted = false, apart = false, decay = 0.01, undecayed = [] as string[] },
): Promise<{ found: Record<string, NdArray>; operators: string[] }> {
  const optimizer = optimizers[name]!;
  const options = { ...optimizer.defaults, weightDecay: decay, decayVectors: true, momentum: 0.9 };
  const g = new GraphBuilder();
  const slots = Object.keys(optimizer.slots(options));
  const scalars = Object.fromEntries(
    Object.keys(optimizer.scalars(options, 1)).map((key) => [key, g.input(`${key}_now`, 'float32', [])]),
  );
  const updates = shapes.map((dims, at) => {
    const input = (each: string): string => g.input(`${each}_${at}`, 'float32', dims);
    return {
      parameter: input('parameter'),
      gradient: input('gradient'),
      slots: Object.fromEntries(slots.map((slot) => [slot, input(slot)])),
      scalars,
    };
  });
  const rule = { optimizer, options, undecayed };
  const emitted = apart
    ? updates.flatMap((update) => emitUpdates(g, [update], rule))
    : emitUpdates(g, updates, rule, new Set(parted ? updates : []));
  emitted.forEach((next, at) => {
    g.output(next.parameter, `next_${at}`);
    for (const slot of slots) g.output(next.slots[slot]!, `next_${slot}_${at}`);
  });
  const graph = g.build();
  const session = await openSession(
    encodeModel({ irVersion: 10, opsets: { '': 21 }, producer: '', graph, metadata: {} }),
    { optimization: 'basic' },
  );
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name: each, shape }) => {
      const data = noise(sizeOf(shape as number[]), each).map((value) => Math.abs(value) + 0.1);
      return [each, { dtype: 'float32', dims: shape as number[], data } satisfies NdArray];
    }),
  );
  const found = await session.run(feeds);
  await session.close();
  return { found, operators: graph.nodes.map(({ op }) => op) };
}

describe.each(Object.keys(optimizers))('an update by %s', (name) => {
  it('has the same bits part by part', async () => {
    const parts = await runUpdates(name, [[4, 3, 5]], { parted: true });
    expect(parts.operators.includes('Scan')).toBe(name !== 'lamb');
    expect(parts.found).toEqual((await runUpdates(name, [[4, 3, 5]], {})).found);
  });

  it('has the same bits where those of short vectors are made as one', async () => {
    const shapes = [[7], [3, 2], [1], [8191], [8192], []];
    const joined = await runUpdates(name, shapes, {});
    expect(joined.operators.includes('Concat')).toBe(name !== 'lamb');
    expect(joined.found).toEqual((await runUpdates(name, shapes, { apart: true })).found);
  });
});

describe('weights that are excluded from decay', () => {
  it('are updated as without one, and the others as ever', async () => {
    const shapes = [[7], [3, 2], [5], [4], [2, 3]];
    const plain = (await runUpdates('adamw', shapes, { decay: 0 })).found;
    const all = (await runUpdates('adamw', shapes, {})).found;
    const some = (await runUpdates('adamw', shapes, { undecayed: ['*_0', 'parameter_1', 'parameter_3'] }))
      .found;
    for (const at of shapes.keys()) {
      const name = `next_${at}`;
      expect(some[name], name).toEqual([0, 1, 3].includes(at) ? plain[name] : all[name]);
      expect(plain[name]).not.toEqual(all[name]);
    }
  });
});

describe('a training of heavy weights', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'maas-update-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  function wide(): Network {
    const g = new GraphBuilder();
    const [rows, columns] = [600, 1024];
    const weight = (name: string, dims: number[]): string =>
      g.initializer(
        name,
        tensor(
          'float32',
          dims,
          noise(sizeOf(dims), name).map((value) => value / 30),
        ),
      );
    const x = g.op('MatMul', [g.input('features', 'float32', ['N', 2]), weight('frozen', [2, rows])]);
    const hidden = g.op('Relu', [g.op('MatMul', [x, weight('heavy', [rows, columns])])]);
    const y = g.op('MatMul', [hidden, weight('out', [columns, 1])], {}, { name: 'prediction' });
    g.output(y);
    const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} };
    return { model, trainable: ['heavy', 'out'], prediction: y };
  }

  it('keeps them in parts, goes on where it stopped, and hands back what it measured', async () => {
    const data = plane(64);
    const make = (work: string) => job(wide(), data, join(root, work), { epochs: 2, batchSize: 32 });
    const compiled = compileStep(make('compiled'));
    expect(compiled.carried.map(({ dims }) => dims.length)).toEqual([3, 3, 3, 2, 2, 2]);
    const outcome = await onnxEngine.train(make('whole'));
    const heavy = outcome.model.graph.initializers.get('heavy')!;
    expect(heavy.dims).toEqual([600, 1024]);

    const session = await openSession(encodeModel(outcome.model), { optimization: 'basic' });
    const { inputs, target } = data.splits.validation;
    const found = await session.run(sliceRows(inputs, 0, 40));
    await session.close();
    const truth = target.data as Float32Array;
    const errors = Array.from(
      found['prediction']!.data as Float32Array,
      (value, row) => (value - truth[row]!) ** 2,
    );
    const loss = errors.reduce((sum, error) => sum + error, 0) / 80;
    expect(outcome.history.at(-1)!['validationLoss']! / loss).toBeCloseTo(1, 4);

    let looks = 0;
    const signal = {
      get aborted() {
        return looks++ >= 3;
      },
    } as AbortSignal;
    const stopped = { ...make('stopped'), options: { stepsPerRun: 1 } };
    await expect(onnxEngine.train({ ...stopped, signal })).rejects.toThrow('stopped');
    expect(fingerprint(await onnxEngine.train(stopped))).toBe(fingerprint(outcome));
  });
});
