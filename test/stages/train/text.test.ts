import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { dataSchema, digestDataset, encodeRows, loadDataset, type Dataset } from '../../../src/data/index.js';
import { numbersOf } from '../../../src/data/rows.js';
import { score } from '../../../src/evaluate/index.js';
import { predict } from '../../../src/evaluate/predict.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import type { TrainJob } from '../../../src/plugin/api.js';
import { openSession } from '../../../src/runtime/session.js';
import { buildModel, type Draft } from '../../../src/stages/train/build-model.js';
import { checkCausal } from '../../../src/stages/train/check-causal.js';
import { trainOptions } from '../../../src/stages/train/config.js';
import { explainMisfit } from '../../../src/stages/train/figure-names.js';
import { onnxEngine } from '../../../src/stages/train/index.js';
import { layers } from '../../../src/stages/train/layers/index.js';
import { layerSchema } from '../../../src/stages/train/layers/list-schema.js';

const context = 8;
const sentence = 'the 🐈 sat.\n';
let root: string;
let dataset: Dataset;

const load = async (text: string | Buffer, config: object = {}): Promise<Dataset> => {
  await writeFile(join(root, 'some.txt'), text);
  const data = { source: 'some.txt', target: 'next', text: { context }, ...config };
  return loadDataset(dataSchema.parse(data), { root, seed: 1, name: 'cat' });
};
const place = () => ({ file: 'maas.config.yaml' });
const build = (written: readonly unknown[]): Draft =>
  buildModel(z.array(layerSchema(() => layers)).parse(written), dataset, { seed: 1, place });
const schema = trainOptions({ engines: new Map([['onnx', onnxEngine]]) });
const preset = (choice: unknown): Draft =>
  buildModel(schema.parse({ model: { preset: choice } }).model!.preset!, dataset, { seed: 1, place });

const jobOf = async (draft: Draft): Promise<TrainJob> => ({
  ...draft,
  dataset,
  loss: { name: 'sparseCategoricalCrossentropy' },
  optimizer: { name: 'adam', learningRate: 0.03 },
  metrics: ['perplexity'],
  epochs: 10,
  batchSize: 8,
  seed: 1,
  threads: 1,
  options: {},
  work: await mkdtemp(join(root, 'work-')),
  signal: new AbortController().signal,
  onProgress: () => undefined,
});

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-text-'));
  dataset = await load(sentence.repeat(60));
});
afterAll(() => rm(root, { recursive: true }));

describe('running text', () => {
  it('becomes windows, whose class is the character after them', () => {
    const { signature, splits } = dataset;
    const characters = Array.from(sentence.repeat(60));
    expect(signature.target.labels).toEqual([...new Set(characters)].sort());
    expect(signature.generates).toEqual({ feature: 'text', context });
    const ends = { train: [0, 0.7], validation: [0.7, 0.85], test: [0.85, 1] } as const;
    for (const [name, table] of Object.entries(splits)) {
      const [from, to] = ends[name as keyof typeof ends].map((share) =>
        Math.floor(share * characters.length),
      );
      const expected = [];
      for (let at = from!; at + context < to!; at += context)
        expected.push({
          window: characters.slice(at, at + context).join(''),
          next: characters[at + context],
          line: characters.slice(0, at).filter((each) => each === '\n').length + 1,
        });
      const found = numbersOf(table.target).map((label, row) => ({
        window: (table.inputs['text']!.data as string[])[row],
        next: signature.target.labels![label],
        line: (table.lines as Uint32Array)[row],
      }));
      expect(found).toEqual(expected);
    }
  });

  it('has a digest of its own for each way of cutting it', async () => {
    const digest = (config: object) =>
      digestDataset(dataSchema.parse({ source: 'some.txt', target: 'next', ...config }), { root, seed: 1 });
    expect(await digest({ text: { context } })).toBe(dataset.digest);
    expect(await digest({ text: { context, stride: context } })).toBe(dataset.digest);
    expect(await digest({ text: { context, stride: 3 } })).not.toBe(dataset.digest);
    expect(await digest({})).not.toBe(dataset.digest);
  });

  it('tells of characters that only held-out text has', async () => {
    const { notes } = await load(`${'ab'.repeat(250)}${'ac'.repeat(50)}`);
    expect(notes).toEqual(['held-out text has characters that the train split lacks: "c"']);
  });

  it.each<[string, string | Buffer, object, string]>([
    ['too short', 'abcdefghij', {}, 'the train split has 7 characters: a row needs 9'],
    ['a single character', 'a'.repeat(400), {}, 'there is nothing to tell apart'],
    ['no UTF-8', Buffer.from([0x61, 0xe9, 0x62]), {}, 'not UTF-8'],
    ['cut inside of a character', Buffer.from([0x61, 0xe2, 0x82]), {}, 'not UTF-8'],
    ['U+0000', `ab\0${'cd'.repeat(90)}`, {}, 'U+0000'],
    ['larger than memory', 'ab'.repeat(400), { memory: 0.0001 }, 'data.memory allows'],
  ])('is refused when it is %s', async (_what, text, config, message) => {
    await expect(load(text, config)).rejects.toThrow(message);
  });

  it.each([
    [{ features: ['a'] }, 'features'],
    [{ transforms: { texts: 'textVectorization' } }, 'transforms'],
    [{ split: { train: 0.6, validation: 0.2, test: 0.2, by: 'hash' } }, 'split.by'],
    [{ target: 'text' }, 'target'],
    [{ text: { context: 0 } }, 'text.context'],
  ])('takes nothing that is for columns: %j', (config, path) => {
    const parsed = dataSchema.safeParse({ source: 'a.txt', target: 'next', text: {}, ...config });
    expect(parsed.error!.issues.map((issue) => issue.path.join('.'))).toEqual([path]);
  });
});

describe('a model of running text', () => {
  it.each([
    ['lstm', { lstm: { units: [16], embedding: 8 } }],
    ['transformer', { transformer: { units: 16, heads: 2, layers: 1, dropout: 0 } }],
  ])('%s learns from each step what comes after it', async (_name, choice) => {
    const draft = preset(choice);
    await checkCausal(draft, dataset, place());
    const { model, history } = await onnxEngine.train(await jobOf(draft));
    const last = history.at(-1)!;
    expect(last['validationLoss']).toBeLessThan(0.2);
    expect(last['validationPerplexity']).toBeLessThan(1.2);
    const bytes = encodeModel(model);
    const figures = score(
      await predict(bytes, dataset.splits.test, dataset.signature),
      dataset.splits.test,
      dataset.signature,
    );
    expect(figures['bitsPerCharacter']).toBeCloseTo(figures['logLoss']! / Math.LN2, 10);
    expect(figures['perplexity']).toBeLessThan(1.2);

    // Texts of any length, each beside others, and what nobody has seen.
    const session = await openSession(bytes);
    const texts = ['the 🐈 ', `${sentence.repeat(3)}the`, 'at.', '', 'ж', 'the 🐈 sa'];
    const ask = async (some: readonly string[]) => {
      const encoded = encodeRows(
        dataset.signature,
        some.map((text) => ({ text })),
      );
      if (!encoded.ok) throw new Error(encoded.errors[0]!.message);
      return (await session.run(encoded.inputs))['label']!.data as string[];
    };
    const together = await ask(texts);
    expect([together[0], together[1], together[2], together[5]]).toEqual(['s', ' ', '\n', 't']);
    for (const [at, text] of texts.entries()) expect(await ask([text])).toEqual([together[at]]);
    await session.close();
  });

  it('gives the loss of all steps, which is the one of each by itself', async () => {
    const job = { ...(await jobOf(preset('lstm'))), epochs: 1, metrics: [] };
    const { model, history } = await onnxEngine.train(job);
    const session = await openSession(encodeModel(model));
    const { labels } = dataset.signature.target;
    let [sum, count] = [0, 0];
    const { inputs, target } = dataset.splits.validation;
    for (const [row, window] of (inputs['text']!.data as string[]).entries()) {
      const whole = [...Array.from(window), labels![Number(target.data[row as never])]!];
      const texts = whole.slice(1).map((_, end) => whole.slice(0, end + 1).join(''));
      const { probabilities } = await session.run({
        text: { dtype: 'string', dims: [texts.length, 1], data: texts },
      });
      whole.slice(1).forEach((next, at) => {
        sum -= Math.log(Number(probabilities!.data[at * labels!.length + labels!.indexOf(next)]));
        count += 1;
      });
    }
    await session.close();
    expect(history.at(-1)!['validationLoss']).toBeCloseTo(sum / count, 5);
  });

  it.each([
    ['attention', { multiHeadAttention: { numHeads: 1 } }],
    ['a reading from the end', { lstm: { units: 4, returnSequences: true, goBackwards: true } }],
    ['two readings', { bidirectional: { layer: { gru: { units: 4, returnSequences: true } } } }],
    ['a convolution around each step', { conv1d: { filters: 4, kernelSize: 3, padding: 'same' } }],
  ])('is refused when a step sees what comes later: %s', async (_what, layer) => {
    const draft = build([{ embedding: { outputDim: 4 } }, layer, 'dense']);
    await expect(checkCausal(draft, dataset, place())).rejects.toThrow(
      /^step \d+ of the model sees step 8, and each is to predict the one after it$/,
    );
  });

  it('may look at the whole text to say what comes after it alone', async () => {
    const draft = build([{ embedding: { outputDim: 4 } }, 'globalAveragePooling1d', 'dense']);
    expect(draft.steps).toBeUndefined();
    await checkCausal(draft, dataset, place());
  });

  it('has figures that other models lack', () => {
    expect(explainMisfit('perplexity', dataset.signature)).toBeUndefined();
    const { generates, ...other } = dataset.signature;
    expect(generates).toBeDefined();
    expect(explainMisfit('perplexity', other)?.message).toBe('there is no perplexity of classes');
  });

  it('does not read both ways as a preset', () => {
    expect(() => preset({ lstm: { bidirectional: true } })).toThrow('reads from both ends');
    expect(() => preset('mlp')).toThrow('takes numbers, a row of the data is ids');
    expect(() => preset('cnn')).toThrow('takes images [channels, height, width], a row of the data is ids');
  });
});
