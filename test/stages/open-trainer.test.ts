import { expect, it } from 'vitest';
import type { Engine, TrainJob } from '../../src/plugin/api.js';
import { openTrainer } from '../../src/stages/open-trainer.js';
import { classifier } from '../evaluate/models.js';
import { mixedDataset } from './train/datasets.js';

/** The loss that a pass of a project trains by. */
async function lossOf(loss: object | undefined): Promise<TrainJob['loss'] | undefined> {
  let seen: TrainJob['loss'] | undefined;
  const train = (job: TrainJob) => {
    seen = job.loss;
    return Promise.resolve({ model: job.model, history: [] });
  };
  const engine: Engine = { name: 'onnx', summary: 'keeps the loss', train };
  const trainer = openTrainer(
    {
      project: { name: 'p', seed: 1, root: '/', configFile: '/c', config: { train: { loss } } },
      registry: { engines: new Map([['onnx', engine]]) } as never,
      work: '/nowhere',
      signal: new AbortController().signal,
      emit: () => undefined,
    },
    mixedDataset(),
    () => undefined,
  );
  await trainer.fit({ model: classifier(4), epochs: 1, learningRate: 0.1 });
  return seen;
}

it('lets passes train by the loss of the project', async () => {
  const options = { labelSmoothing: 0.1 };
  const found = await lossOf({ name: 'sparseCategoricalCrossentropy', options });
  expect(found).toEqual({ name: 'sparseCategoricalCrossentropy', ...options });
});

it('lets them train by cross-entropy where that of the project is for embeddings', async () => {
  const found = await lossOf({ name: 'triplet', options: { margin: 1 } });
  expect(found).toEqual({ name: 'sparseCategoricalCrossentropy' });
});
