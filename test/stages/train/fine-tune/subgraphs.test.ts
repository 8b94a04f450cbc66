import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { attr, type Model } from '../../../../src/ir/graph.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { numbersOf, tensor } from '../../../../src/ir/tensor.js';
import { adoptModel } from '../../../../src/stages/train/fine-tune/adopt-model.js';
import { openFile } from '../../../../src/stages/train/fine-tune/open-file.js';
import { onnxEngine } from '../../../../src/stages/train/index.js';
import { amountDataset } from '../datasets.js';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'maas-subgraphs-'));
});
afterAll(() => rm(work, { recursive: true }));

/** Two steps of x ← tanh(x·W), with W inside the body of a Loop, and a dense layer in either branch of an If. */
function looping(columns: number): Model {
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['N', columns]);
  const draw = (size: number) => Array.from({ length: size }, (_, at) => Math.sin(at + 1) / 2);
  const body = g.inner('body');
  body.input('step', 'int64', []);
  const on = body.input('on', 'bool', []);
  const state = body.input('state', 'float32', ['N', columns]);
  body.initializer('inner.weight', tensor('float32', [columns, columns], draw(columns * columns)));
  body.output(on, 'goes_on');
  body.output(body.op('Tanh', [body.op('MatMul', [state, 'inner.weight'])]), 'next');
  const yes = g.constant(tensor('bool', [], [1]));
  const h = g.op('Loop', [g.scalar(2, 'int64'), yes, x], { body: attr.graph(body.build()) });
  const branch = (name: string) => {
    const inner = g.inner(name);
    const kernel = inner.initializer(`${name}.weight`, tensor('float32', [columns, 1], draw(columns)));
    inner.output(inner.op('MatMul', [h, kernel]), `${name}.out`);
    return attr.graph(inner.build());
  };
  const rows = g.op('Gather', [g.op('Shape', [x]), g.scalar(0, 'int64')]);
  const attributes = { then_branch: branch('many'), else_branch: branch('few') };
  const y = g.op('If', [g.op('Greater', [rows, g.scalar(0, 'int64')])], attributes);
  g.output(y, 'y');
  return { irVersion: 10, opsets: { '': 20 }, producer: 'test', graph: g.build(), metadata: {} };
}

it('trains weights inside Loop and If further, and takes their names', async () => {
  const dataset = amountDataset();
  const columns = dataset.signature.features.length;
  await writeFile(join(work, 'loop.onnx'), encodeModel(looping(columns)));
  const project = { name: 'p', seed: 1, root: work, configFile: join(work, 'maas.config.yaml'), config: {} };
  const source = await openFile(project, { key: 'onnx', file: 'loop.onnx' });
  const options = { onnx: 'loop.onnx', head: 'keep' as const, freeze: ['few.*'] };
  const draft = adoptModel(source, options, dataset, {
    seed: 1,
    place: () => ({ file: 'maas.config.yaml' }),
  });
  expect([...draft.trainable].sort()).toEqual(['inner.weight', 'many.weight']);
  const { model, history } = await onnxEngine.train({
    ...draft,
    dataset,
    loss: { name: 'meanSquaredError' },
    optimizer: { name: 'adam', learningRate: 0.02 },
    metrics: [],
    epochs: 6,
    batchSize: 8,
    seed: 1,
    threads: 1,
    options: {},
    work: await mkdtemp(join(work, 'job-')),
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss);
  const [before, after] = [source.graph.initializers, model.graph.initializers];
  for (const name of ['inner.weight', 'many.weight', 'few.weight']) {
    const isFrozen = name.startsWith('few');
    expect(numbersOf(after.get(name)!).join() === numbersOf(before.get(name)!).join()).toBe(isFrozen);
  }
});
