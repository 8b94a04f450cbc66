import type { Json } from '../../artifacts/index.js';
import { digestDataset, type DataConfig } from '../../data/index.js';
import { defineStage, type TrainOrder } from '../../plugin/api.js';
import { trainOptions, type TrainOptions } from './config.js';
import { sizeOf } from './distributed/config.js';
import { chooseEngine } from './choose-engine.js';
import { sourceOf } from './fine-tune/config.js';
import { trainTasks } from './tasks.js';

export { type TrainOptions } from './config.js';
export { describedFields, type Described } from './model-config.js';
export { commandEngine } from './engines/command/index.js';
export { onnxEngine } from './engines/onnx/index.js';
export { tfjsNodeEngine } from './engines/tfjs-node/index.js';

/** Fits a model to the data, from raw features to labels in one graph. */
export const trainStage = defineStage<TrainOptions>({
  name: 'train',
  summary: 'Fit a model to the data.',
  options: trainOptions,
  reads: [],
  writes: 'model',
  version: 4,
  // Where its ranks run and how often they may be lost makes it no other model; how many there are does.
  artifactOptions: ({ logSteps: _, submit: __, distributed, ...options }) => ({
    ...options,
    ...(distributed && {
      distributed: { launcher: distributed.launcher, processes: sizeOf(distributed) },
    }),
  }),
  async key({ project, options, registry, signal }) {
    const { root, seed, config } = project;
    const data = config['data'] as DataConfig;
    const source = options.model && sourceOf(options.model);
    const { engine, options: ownOptions, reason } = await chooseEngine(options, registry, project);
    // Loaded on demand: it brings protobuf along, which no other command should pay for.
    const digestModel =
      source === undefined ? undefined : (await import('./fine-tune/open-file.js')).digestModel;
    return {
      ...(engine.key && {
        engine: await engine.key(ownOptions as TrainOrder['options'], project, signal),
      }),
      ...(reason !== undefined && { chosen: engine.name }),
      ...(digestModel && { model: await digestModel(project, source!, signal) }),
      data: await digestDataset(data, { root, seed, signal }),
      // They change the model, and not the rows.
      ...(Object.keys(data.transforms).length > 0 && { transforms: data.transforms as unknown as Json }),
      ...(data.images?.mean && { images: { mean: data.images.mean, std: data.images.std! } }),
    };
  },
  tasks: trainTasks,
});
