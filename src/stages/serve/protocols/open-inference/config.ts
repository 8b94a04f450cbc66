import type { Port } from '../../../../data/signature.js';
import type { ServedModel } from '../../../../plugin/api.js';
import { datatypeOf } from '../../json/tensors.js';
import { sizesOf } from './describe.js';

const typeNames = [
  'TYPE_BOOL',
  'TYPE_UINT8',
  'TYPE_UINT16',
  'TYPE_UINT32',
  'TYPE_UINT64',
  'TYPE_INT8',
  'TYPE_INT16',
  'TYPE_INT32',
  'TYPE_INT64',
  'TYPE_FP16',
  'TYPE_FP32',
  'TYPE_FP64',
  'TYPE_STRING',
  'TYPE_BF16',
  'TYPE_INVALID',
] as const;

interface ConfigPort {
  readonly name: string;
  readonly data_type: (typeof typeNames)[number];
  readonly dims: readonly number[];
}

export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly max_batch_size: number;
  readonly input: readonly ConfigPort[];
  readonly output: readonly ConfigPort[];
}

/**
 * What a model takes and gives, by the names of Triton's model configuration, which its tools ask for:
 * https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
 * `max_batch_size` 0 says that `dims` are whole: -1 in front is any number of rows.
 */
export function describeConfig({ name, inputs, outputs }: ServedModel): ModelConfig {
  return {
    name,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    max_batch_size: 0,
    input: inputs.map(describePort),
    output: outputs.map(describePort),
  };
}

function describePort(port: Port): ConfigPort {
  const name = `TYPE_${port.dtype === 'string' ? 'STRING' : datatypeOf(port.dtype)}`;
  const known = typeNames.find((each) => each === name);
  return { name: port.name, data_type: known ?? 'TYPE_INVALID', dims: sizesOf(port) };
}
