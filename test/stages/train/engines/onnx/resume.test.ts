import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainJob } from '../../../../../src/plugin/api.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { classes, classifier, fingerprint, job } from './jobs.js';

let root: string;
let unbroken: string;
let count = 0;

const epochs = 4;
const steps = 6;

/** Adam, dropout and a last batch that is not full: everything that has to be taken up again. */
function make(changes: Partial<TrainJob> = {}): TrainJob {
  const work = join(root, `work-${count++}`);
  return job(classifier({ dropout: 0.25 }), classes(), work, { epochs, batchSize: 16, ...changes });
}

const oneByOne = { options: { stepsPerRun: 1 } };

/** A signal that is found aborted when it is looked at for the `at`-th time: once for each run. */
function abortAt(at: number): AbortSignal {
  let looks = 0;
  return {
    get aborted() {
      return looks++ >= at;
    },
  } as AbortSignal;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-resume-'));
  unbroken = fingerprint(await onnxEngine.train(make()));
});
afterAll(() => rm(root, { recursive: true }));

describe('a training that is taken up again', () => {
  // Around the ends of epochs and within them.
  it.each([0, 1, 3, 5, 6, 7, 11, 12, 14, 17, 18, 22, 23])(
    'after step %i ends in the same bits',
    async (at) => {
      const whole = make(oneByOne);
      await expect(onnxEngine.train({ ...whole, signal: abortAt(at) })).rejects.toMatchObject({
        code: 'MAAS_INTERRUPTED',
      });
      const outcome = await onnxEngine.train(whole);
      expect(fingerprint(outcome)).toBe(unbroken);
      expect(outcome.notes).toEqual([
        `went on from a checkpoint: epoch ${Math.floor(at / steps) + 1} of ${epochs}, after ${at % steps} steps of it`,
      ]);
    },
  );

  it.each([
    [2, 3],
    [5, 2],
    [3, 5],
  ])('after runs of %i steps and then of %i', async (before, after) => {
    const whole = make({ options: { stepsPerRun: before } });
    await expect(onnxEngine.train({ ...whole, signal: abortAt(4) })).rejects.toThrow('stopped');
    const outcome = await onnxEngine.train({ ...whole, options: { stepsPerRun: after } });
    expect(fingerprint(outcome)).toBe(unbroken);
    expect(outcome.notes).toHaveLength(1);
  });

  it('again and again, at every second step', async () => {
    const whole = make(oneByOne);
    for (let stop = 0; stop < (epochs * steps) / 2 - 1; stop++) {
      await expect(onnxEngine.train({ ...whole, signal: abortAt(2) })).rejects.toThrow();
    }
    expect(fingerprint(await onnxEngine.train(whole))).toBe(unbroken);
  });

  it.each([1, 7, 12, 20])('after it died without a word at step %i', async (at) => {
    // Checkpoints at every step; the training dies where nothing can be saved any more.
    const whole = make({ options: { checkpointSeconds: 0 } });
    const dying = {
      get aborted(): boolean {
        if (++looks > at) throw new Error('killed');
        return false;
      },
    } as AbortSignal;
    let looks = 0;
    await expect(onnxEngine.train({ ...whole, signal: dying })).rejects.toThrow('killed');
    await writeFile(join(whole.work, 'checkpoint.safetensors.tmp'), 'half a file');
    const outcome = await onnxEngine.train(whole);
    expect(fingerprint(outcome)).toBe(unbroken);
    expect(outcome.notes).toHaveLength(1);
  });
});

describe('a checkpoint that does not fit', () => {
  const spoil = async (change: (bytes: Buffer) => Buffer): Promise<void> => {
    const whole = make(oneByOne);
    await expect(onnxEngine.train({ ...whole, signal: abortAt(9) })).rejects.toThrow();
    const path = join(whole.work, 'checkpoint.safetensors');
    await writeFile(path, change(await readFile(path)));
    const outcome = await onnxEngine.train(whole);
    expect(outcome.notes).toEqual(['the checkpoint is damaged: training starts anew']);
    expect(fingerprint(outcome)).toBe(unbroken);
  };

  it.each([0, 5, 100, 1000, -1])('is left aside when it is cut off at %i', (at) =>
    spoil((bytes) => bytes.subarray(0, at)),
  );

  it.each([3, 9, -2])('is left aside when the byte at %i is another', (at) =>
    spoil((bytes) => {
      const place = at < 0 ? bytes.length + at : at;
      bytes[place] = bytes[place]! ^ 0xff;
      return bytes;
    }),
  );

  it.each<[string, Partial<TrainJob>]>([
    ['another seed', { seed: 8 }],
    ['more epochs', { epochs: 5 }],
    ['another batch size', { batchSize: 15 }],
    ['other data', { dataset: classes(80) }],
    ['another rate', { optimizer: { name: 'adam', learningRate: 0.01 } }],
    ['another network', classifier({ units: 8, dropout: 0.25 })],
    ['another share of dropout', classifier({ dropout: 0.5 })],
  ])('is left aside for %s', async (_, changes) => {
    const whole = make(oneByOne);
    await expect(onnxEngine.train({ ...whole, signal: abortAt(9) })).rejects.toThrow();
    const outcome = await onnxEngine.train({ ...whole, ...changes });
    expect(outcome.notes).toEqual(['the checkpoint is of another job or runtime: training starts anew']);
    expect(fingerprint(outcome)).toBe(fingerprint(await onnxEngine.train(make(changes))));
  });
});
