import { defineEngine } from '../../../../plugin/api.js';
import { engineOptions } from './options.js';
import { train } from './train.js';

export const onnxEngine = defineEngine({
  name: 'onnx',
  summary: 'trains in this process with onnxruntime; needs nothing that npm does not bring',
  options: engineOptions,
  distributed: true,
  train,
});
