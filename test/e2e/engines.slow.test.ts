import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absent } from '../stages/train/engines/tfjs-node/installed.js';
import { maas, maasJson, type StageJson } from './maas.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-engines-'));
});
afterAll(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));

/** Rounding apart, both engines take the same steps; a row on the border of two classes may fall to the other side. */
const noise = { logLoss: 1e-3, accuracy: 0.012 };

describe.skipIf(absent !== '')(`templates with both engines${absent}`, { timeout: 240_000 }, () => {
  it.each([
    ['tabular-classifier', []],
    ['image-classifier', ['train.epochs=15', 'train.gates.accuracy.min=0.8']],
  ])('%s: the same figures from one config', async (template, changes) => {
    expect((await maas(root, ['init', template, '--template', template])).code).toBe(0);
    const train = (engine: string) =>
      maasJson<StageJson>(join(root, template), [
        'train',
        ...[`train.engine=${engine}`, ...changes].flatMap((change) => ['--set', change]),
      ]);
    const [onnx, tensorflow] = [await train('onnx'), await train('tfjs-node')];
    expect(tensorflow.digest).not.toBe(onnx.digest);
    for (const [name, most] of Object.entries(noise)) {
      const [one, two] = [onnx, tensorflow].map(({ metrics }) => metrics[name] as number);
      expect(Math.abs(one! - two!), name).toBeLessThanOrEqual(most);
    }
  });
});
