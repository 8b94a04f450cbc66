import { defineEngine } from '../../../../plugin/api.js';
import { engineOptions } from './options.js';

export const onnxEngine = defineEngine({
  name: 'onnx',
  summary: 'trains in this process with onnxruntime; needs nothing that npm does not bring',
  options: engineOptions,
  distributed: true,
  // Loaded here: gradients, optimizers and the step's compiler are a quarter of all code, and only training needs them.
  train: async (job) => (await import('./train.js')).train(job),
});
