import { mkdtemp, rm, symlink, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importKeras } from '../../../src/ir/keras/load.js';
import type { WeightSpec } from '../../../src/ir/keras/shards.js';
import { openFile } from '../../../src/stages/train/fine-tune/open-file.js';
import { absent, openTf, packageFolder, places } from '../../stages/train/engines/tfjs-node/installed.js';
import { cases, play } from '../../fixtures/keras/cases.mjs';
import { expectNear, runModel } from './predict.js';

describe.skipIf(absent !== '')(`what TensorFlow.js predicts now${absent}`, () => {
  const tf = absent === '' ? openTf() : undefined;

  it.each(cases.map((one) => [one[0], one] as const))('%s', async (_name, one) => {
    for (const seed of [7, 8]) {
      const { artifacts, inputs, outputs } = await play(tf, one, seed, seed - 4);
      const model = importKeras({
        modelTopology: artifacts.modelTopology,
        weightSpecs: artifacts.weightSpecs as WeightSpec[],
        weightData: new Uint8Array(artifacts.weightData),
      });
      const arrays = [inputs, outputs].map((list) =>
        list.map(({ shape, data }) => ({ dtype: 'float32' as const, dims: shape, data })),
      );
      expectNear(await runModel(model, arrays[0]!), arrays[1]!);
    }
  });
});

describe.skipIf(absent !== '')(`model.module with TensorFlow.js${absent}`, () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'maas-module-'));
    // The project's own dependency, without a native library.
    await mkdir(join(root, 'node_modules'));
    await symlink(dirname(packageFolder!), join(root, 'node_modules', '@tensorflow'));
    await writeFile(
      join(root, 'own.mjs'),
      `import * as tf from '@tensorflow/tfjs';
      const input = tf.input({ shape: [4] });
      const body = tf.layers.dense({ units: 8, activation: 'relu' }).apply(input);
      export default tf.model({ inputs: input, outputs: tf.layers.dense({ units: 3 }).apply(body) });`,
    );
    await writeFile(
      join(root, 'given.mjs'),
      `export default ({ tf }) => tf.sequential({ layers: [
        tf.layers.conv1d({ inputShape: [6, 2], filters: 3, kernelSize: 2 }),
        tf.layers.lstm({ units: 4, recurrentInitializer: 'glorotNormal' }),
        tf.layers.dense({ units: 2, activation: 'softmax' }),
      ] });`,
    );
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it.each(['own.mjs', 'given.mjs'])('takes %s', async (file) => {
    const open = (seed: number) => {
      const project = {
        ...places,
        root,
        name: 'p',
        seed,
        configFile: join(root, 'maas.config.yaml'),
        config: {},
      };
      return openFile(project, { key: 'module', file });
    };
    const [first, same, other] = [await open(1), await open(1), await open(2)];
    expect(first.graph.nodes.length).toBeGreaterThan(2);
    expect([...same.graph.initializers.values()]).toEqual([...first.graph.initializers.values()]);
    // A module is run once in a process: what it has made at that time stays.
    if (file === 'given.mjs')
      expect([...other.graph.initializers.values()]).not.toEqual([...first.graph.initializers.values()]);
  });
});
