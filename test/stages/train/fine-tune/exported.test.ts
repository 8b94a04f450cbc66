import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataset, SplitName, Table } from '../../../../src/data/dataset.js';
import { numbersOf } from '../../../../src/ir/tensor.js';
import type { Project } from '../../../../src/plugin/api.js';
import { adoptModel } from '../../../../src/stages/train/fine-tune/adopt-model.js';
import { openFile } from '../../../../src/stages/train/fine-tune/open-file.js';
import { onnxEngine } from '../../../../src/stages/train/index.js';
import { mixedDataset } from '../datasets.js';

const root = new URL('../../../fixtures/onnx/', import.meta.url).pathname;
const project: Project = { name: 'p', seed: 1, root, configFile: `${root}maas.config.yaml`, config: {} };
const labels = ['a', 'b', 'c'];
const rows = 60;

/** Rows of numbers whose class is the third of them that is brightest. */
function thirds(columns: number): Dataset {
  const base = mixedDataset();
  const data = Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const bright = Math.floor((3 * column) / columns) === row % 3 ? 2 : 0;
    return bright + ((row * 37 + column * 11) % 17) / 17;
  });
  const table: Table = {
    rows,
    lines: Uint32Array.from({ length: rows }, (_, row) => row + 2),
    inputs: { features: { dtype: 'float32', dims: [rows, columns], data } },
    target: {
      dtype: 'int64',
      dims: [rows],
      data: BigInt64Array.from({ length: rows }, (_, row) => BigInt(row % 3)),
    },
  };
  const splits: Record<SplitName, Table> = { train: table, validation: table, test: table };
  const features = Array.from({ length: columns }, (_, column) => ({
    name: `c${column}`,
    type: 'number' as const,
    input: 'features',
    column,
  }));
  const inputs = [{ name: 'features', dtype: 'float32' as const, shape: ['N', columns] }];
  return { ...base, signature: { ...base.signature, features, inputs }, splits };
}

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'maas-exported-'));
});
afterAll(() => rm(work, { recursive: true }));

describe.each(['torch', 'torchscript', 'tf2onnx', 'keras'])('a file that %s has written', (writer) => {
  it.each([
    ['mlp', 4],
    ['cnn', 64],
  ])(
    '%s is trained further: frozen weights keep their bytes, the others and a new head learn',
    async (net, columns) => {
      const dataset = thirds(columns);
      const source = await openFile(project, { key: 'onnx', file: `${net}-${writer}.onnx` });
      const options = { onnx: `${net}.onnx`, preprocess: false };
      const at = { seed: 1, place: () => ({ file: 'maas.config.yaml' }) };
      const all = adoptModel(source, options, dataset, at);
      const before = all.model.graph.initializers;
      // The kernel that is nearest to the rows.
      const frozen = all.trainable[0]!;
      const draft = adoptModel(source, { ...options, freeze: [frozen] }, dataset, at);
      expect(draft.trainable).toEqual(all.trainable.slice(1));
      expect(draft.trainable).toContain('head/kernel');
      const { model, history } = await onnxEngine.train({
        ...draft,
        dataset,
        loss: { name: 'sparseCategoricalCrossentropy' },
        optimizer: { name: 'adam', learningRate: 0.02 },
        metrics: ['accuracy'],
        epochs: 8,
        batchSize: 20,
        seed: 1,
        threads: 1,
        options: {},
        work: await mkdtemp(join(work, 'job-')),
        signal: new AbortController().signal,
        onProgress: () => undefined,
      });
      expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss * 0.8);
      expect(labels).toHaveLength(model.graph.initializers.get('head/bias')!.dims[0]!);
      const after = model.graph.initializers;
      expect(numbersOf(after.get(frozen)!)).toEqual(numbersOf(before.get(frozen)!));
      const moved = draft.trainable.filter(
        (name) => numbersOf(after.get(name)!).join() !== numbersOf(before.get(name)!).join(),
      );
      expect(moved).toEqual(draft.trainable);
    },
  );
});
