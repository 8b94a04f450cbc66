import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigPath } from '../../../../src/config/index.js';
import type { Dataset, SplitName, Table } from '../../../../src/data/dataset.js';
import { numbersOf } from '../../../../src/ir/tensor.js';
import type { Project } from '../../../../src/plugin/api.js';
import type { DraftOptions } from '../../../../src/stages/train/build-model.js';
import { adoptModel } from '../../../../src/stages/train/fine-tune/adopt-model.js';
import { openFile } from '../../../../src/stages/train/fine-tune/open-file.js';
import { onnxEngine } from '../../../../src/stages/train/index.js';
import { mixedDataset } from '../datasets.js';

const root = new URL('../../../fixtures/onnx/', import.meta.url).pathname;
const project: Project = { name: 'p', seed: 1, root, configFile: `${root}maas.config.yaml`, config: {} };
const [rows, steps] = [90, 6];

/** Rows of ids, some shorter than others, whose class is the part of the vocabulary that they begin in. */
function sentences(classes: number, maskName = 'attention_mask'): Dataset {
  const base = mixedDataset();
  const ids = BigInt64Array.from({ length: rows * steps }, (_, at) => {
    const [row, step] = [Math.floor(at / steps), at % steps];
    const third = step === 0 ? row % classes : (row * 7 + step) % classes;
    return BigInt(1 + 9 * third + ((row * 5 + step * 3) % 9));
  });
  const mask = ids.map((_, at) => (at % steps > 3 + (Math.floor(at / steps) % 3) ? 0n : 1n));
  const dims = [rows, steps];
  const table: Table = {
    rows,
    lines: Uint32Array.from({ length: rows }, (_, row) => row + 2),
    inputs: {
      input_ids: { dtype: 'int64', dims, data: ids.map((id, at) => id * mask[at]!) },
      [maskName]: { dtype: 'int64', dims, data: mask },
    },
    target: {
      dtype: 'int64',
      dims: [rows],
      data: BigInt64Array.from({ length: rows }, (_, row) => BigInt(row % classes)),
    },
  };
  const splits: Record<SplitName, Table> = { train: table, validation: table, test: table };
  const names = ['input_ids', maskName];
  const features = names.map((name, at) => ({
    name,
    type: 'array' as const,
    input: name,
    column: 0,
    shape: [steps],
    ids: at === 0 ? 28 : 2,
  }));
  const inputs = names.map((name) => ({ name, dtype: 'int64' as const, shape: ['N', steps] }));
  const outputs = [
    { name: 'label', dtype: 'string' as const, shape: ['N'] },
    { name: 'probabilities', dtype: 'float32' as const, shape: ['N', classes] },
  ];
  const labels = ['early', 'middle', 'late'].slice(0, classes);
  const signature = { ...base.signature, features, inputs, outputs, target: { name: 'part', labels } };
  return { ...base, signature, splits };
}

const at: DraftOptions = { seed: 1, place: (path: ConfigPath) => ({ file: path.join('.') }) };
const read = (file: string) => openFile(project, { key: 'onnx', file });

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'maas-transformers-'));
});
afterAll(() => rm(work, { recursive: true }));

describe.each(['torch', 'torchscript'])('a language model that %s has written', (writer) => {
  it.each([
    ['bert', 3, 'LayerNorm'],
    // Its logits are picked from those of all steps, so it keeps the head that it has.
    ['gpt', 2, 'wpe'],
  ])(
    '%s takes ids and a mask, and learns to tell %d classes past frozen weights',
    async (net, classes, frozen) => {
      const file = `${net}-${writer}.onnx`;
      const dataset = sentences(classes);
      const source = await read(file);
      const draft = adoptModel(source, { onnx: file, freeze: [`*${frozen}*`] }, dataset, at);
      expect(draft.notes!.join().includes('gave it a new head')).toBe(net === 'bert');
      const { model, history } = await onnxEngine.train({
        ...draft,
        dataset,
        loss: { name: 'sparseCategoricalCrossentropy' },
        optimizer: { name: 'adam', learningRate: 0.02 },
        metrics: ['accuracy'],
        epochs: 10,
        batchSize: 15,
        seed: 1,
        threads: 2,
        options: {},
        work: await mkdtemp(join(work, 'job-')),
        signal: new AbortController().signal,
        onProgress: () => undefined,
      });
      expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss * 0.5);
      const [before, after] = [source.graph.initializers, model.graph.initializers];
      const kept = [...before.keys()].filter((name) => name.includes(frozen) && after.has(name));
      expect(kept.length).toBeGreaterThan(0);
      for (const name of kept) expect(numbersOf(after.get(name)!)).toEqual(numbersOf(before.get(name)!));
      const textOf = (from: typeof before, name: string) =>
        from.has(name) && numbersOf(from.get(name)!).join();
      const moved = draft.trainable.filter((name) => textOf(after, name) !== textOf(before, name));
      expect(moved.length).toBeGreaterThan(0.8 * draft.trainable.length);
    },
  );
});

it('says which input of the model has no feature, and takes the one that the config names', async () => {
  const source = await read('bert-torch.onnx');
  const dataset = sentences(3, 'mask');
  const adopt = (inputs?: DraftOptions['inputs']) =>
    adoptModel(source, { onnx: 'bert-torch.onnx' }, dataset, { ...at, ...(inputs && { inputs }) });
  expect(() => adopt()).toThrow(
    'the model takes 2 inputs (input_ids, attention_mask), and the data has no feature attention_mask',
  );
  expect(() => adopt({ attention_masks: ['mask'] })).toThrow('the model has no input attention_masks');
  expect(() => adopt({ attention_mask: ['input_ids'] })).toThrow('no input of the model takes mask');
  expect(adopt({ attention_mask: ['mask'] }).trainable.length).toBeGreaterThan(10);
});
