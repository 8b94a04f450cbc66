import { fromBinary } from '@bufbuild/protobuf';
import type { Tensor } from '../tensor.js';
import { TensorProtoSchema, type TensorProto } from './onnx.generated.js';
import { invalid } from './source.js';
import { decodeTensor } from './tensors.js';

/**
 * Reads a tensor in a file of its own, as the test sets beside ONNX models hold them.
 * @throws MaasError MAAS_MODEL_INVALID.
 */
export function decodeTensorFile(bytes: Uint8Array, file: string): { name: string; tensor: Tensor } {
  let proto: TensorProto;
  try {
    proto = fromBinary(TensorProtoSchema, new Uint8Array(bytes));
  } catch (error) {
    throw invalid({ file }, `not a whole ONNX tensor: ${(error as Error).message}`, error);
  }
  return { name: proto.name, tensor: decodeTensor(proto, { file }, false) };
}
