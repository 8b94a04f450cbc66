// Three stages that take their time, for runs that are killed.
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const pause = () => new Promise((resolve) => setTimeout(resolve, 2));

/** Trains in epochs with a checkpoint after each, so that a killed run goes on. */
const train = {
  name: 'train',
  summary: 'train',
  options: () => undefined,
  reads: [],
  writes: 'model',
  version: 1,
  tasks: ({ out, work, result }) => [
    {
      title: 'train',
      task: async () => {
        const checkpoint = join(work, 'checkpoint');
        let weights = existsSync(checkpoint) ? await readFile(checkpoint, 'utf8') : '';
        while (weights.length < 8) {
          weights += weights.length;
          await pause();
          await writeFile(`${checkpoint}.new`, weights);
          await rename(`${checkpoint}.new`, checkpoint);
        }
        await writeFile(join(out, 'model.txt'), weights);
        result.metrics.epochs = weights.length;
      },
    },
  ],
};

const copy = (name, after, writes, effect) => ({
  name,
  after,
  summary: name,
  options: () => undefined,
  reads: ['model'],
  writes,
  version: 1,
  tasks: ({ inputs, out }) => [
    {
      title: 'copy',
      task: async () => {
        const text = await readFile(join(inputs.model.path, 'model.txt'), 'utf8');
        await writeFile(join(out, 'model.txt'), `${text} ${name}`);
        await pause();
        await writeFile(join(out, 'more.txt'), name);
      },
    },
  ],
  effect,
});

const effect = {
  inPlace: async ({ project }, { digest }) => {
    const current = join(project.root, 'current');
    return existsSync(current) && (await readFile(current, 'utf8')) === digest;
  },
  tasks: ({ project, artifact }) => [
    {
      title: 'switch',
      task: async () => {
        await pause();
        await writeFile(join(project.root, 'current.new'), artifact.digest);
        await rename(join(project.root, 'current.new'), join(project.root, 'current'));
      },
    },
  ],
};

export const stages = [
  train,
  copy('compress', 'train', 'model'),
  copy('deploy', 'compress', 'release', effect),
];

export function makeContext(openStore, root) {
  return {
    project: {
      name: 'slow',
      seed: 1,
      root,
      configFile: join(root, 'maas.config.yaml'),
      config: { train: {}, compress: {}, deploy: {} },
    },
    registry: { stages },
    store: openStore(join(root, '.maas')),
    signal: new globalThis.AbortController().signal,
    emit: () => undefined,
  };
}
