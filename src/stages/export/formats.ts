import { join } from 'node:path';
import type { Signature } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import type { Model } from '../../ir/graph.js';
import { saveModel } from '../../ir/onnx/save.js';
import { encodeTensors } from '../../ir/safetensors.js';
import { isNumeric, toNdArray, type NdArray, type NumericDType } from '../../ir/tensor.js';
import { writeParts } from './write-parts.js';

/** A model to write down in another format, with its weights in memory. */
export interface Subject {
  readonly name: string;
  readonly model: Model;
  /** What the model says of its features, where maas has trained it. */
  readonly signature?: Signature;
  /** Version of maas. */
  readonly version: string;
}

export interface Format {
  readonly summary: string;
  /** What is added to the name of the model where nobody names the target. */
  readonly suffix: string;
  /** Whether the target is a folder. */
  readonly isFolder: boolean;
  /**
   * Writes the model.
   * @param path A file, or an empty folder.
   * @throws MaasError MAAS_MODEL_UNSUPPORTED for what the format cannot hold, by node.
   */
  write(subject: Subject, path: string): Promise<void>;
}

const onnx: Format = {
  summary: 'one ONNX file with everything inside',
  suffix: '.onnx',
  isFolder: false,
  async write({ model }, path) {
    await saveModel(model, path);
  },
};

const safetensors: Format = {
  summary: 'the weights alone, by name',
  suffix: '.safetensors',
  isFolder: false,
  async write({ model, name }, path) {
    const tensors: Record<string, NdArray<NumericDType>> = {};
    for (const [key, constant] of model.graph.initializers) {
      if (isNumeric(constant.dtype)) tensors[key] = toNdArray(constant) as NdArray<NumericDType>;
    }
    if (Object.keys(tensors).length === 0)
      throw new MaasError('MAAS_MODEL_UNSUPPORTED', 'the model has no weights', {
        hint: 'Export it with --format onnx.',
      });
    await writeParts(path, encodeTensors({ tensors, metadata: { format: 'onnx', model: name } }));
  },
};

const tfjs: Format = {
  summary: 'a folder for TensorFlow.js: a graph model, and a module that takes rows',
  suffix: '-tfjs',
  isFolder: true,
  async write(subject, path) {
    // Loaded when it is asked for: it brings the operators of TensorFlow.js along.
    const { describeGraphModel } = await import('./tfjs/files.js');
    for (const [file, bytes] of describeGraphModel(subject)) await writeParts(join(path, file), [bytes]);
  },
};

export const formats = { onnx, tfjs, safetensors } as const satisfies Record<string, Format>;
export type FormatName = keyof typeof formats;
