// onnx.generated.ts comes from onnx.proto, which is ONNX's own, by protoc-gen-es of @bufbuild/protobuf. To bring in a
// newer ONNX, replace onnx.proto and run, with buf or protoc and @bufbuild/protoc-gen-es at the version of the library:
//   protoc --es_out=src/ir/onnx --es_opt=target=ts,import_extension=js -I src/ir/onnx onnx.proto
//   mv src/ir/onnx/onnx_pb.ts src/ir/onnx/onnx.generated.ts
// and add its new element types to dtypes in ../tensor.ts, whose order is that of TensorProto.DataType.
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Model } from '../graph.js';
import { byteLengthOf, isFileRange } from '../tensor.js';
import { decodeModel } from './decode.js';
import { checkExternal } from './external.js';
import { invalid } from './source.js';

export { decodeModel } from './decode.js';
export { loadTensor, loadWeights } from './external.js';
export { decodeTensorFile } from './tensor-file.js';

/**
 * Loads an ONNX model from a file, or from memory. Weights are views into the file's bytes; external data stays on
 * disk, as file ranges (see `loadWeights`).
 * @throws MaasError MAAS_MODEL_INVALID when the file is missing, no whole ONNX model, or reaches out of its folder.
 */
export async function loadModel(from: string | Uint8Array): Promise<Model> {
  if (typeof from !== 'string') return decodeModel(from);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(from);
  } catch (error) {
    throw invalid({ file: from }, `the model cannot be read: ${(error as Error).message}`, error);
  }
  const source = { file: from, baseDir: resolve(dirname(from)) };
  const model = decodeModel(bytes, source);
  await checkExternal(model.graph, source);
  return model;
}

/** Bytes of a loaded model's file, and of its weights that lie in others. */
export async function sizeOnDisk(path: string, { graph }: Model): Promise<number> {
  const outside = [...graph.initializers.values()].filter(({ data }) => isFileRange(data));
  return outside.reduce((sum, constant) => sum + byteLengthOf(constant), (await stat(path)).size);
}
