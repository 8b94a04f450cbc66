import { open, type FileHandle } from 'node:fs/promises';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type GraphProto, type TensorProto } from '../../ir/onnx/onnx.generated.js';

/** Where a blob must begin for kernels that read whole vectors. In bytes. */
const alignment = 64;

/** What onnxruntime writes into `external_data` beside ONNX's own keys, each time as `kernel|offset;length;…|offset;length;…`. */
const packedKey = /^prepacked_\d+$/;

const copyBytes = 4 * 1024 * 1024;

/**
 * Moves the weights of a model to places where its kernels can use them as they lie in the file: onnxruntime 1.30 writes blobs one
 * right behind another, and crashes on what it has packed and then finds at an odd place.
 * @param model Bytes of a model that onnxruntime has optimized and saved, whose weights all lie in the file `from`.
 * @param to File that is made. `name` is what the model calls it.
 * @returns Bytes of the model.
 * @throws Error when there is something else than expected in it.
 */
export async function alignWeights(
  model: Uint8Array,
  { from, to, name }: { readonly from: string; readonly to: string; readonly name: string },
): Promise<Uint8Array> {
  const proto = fromBinary(ModelProtoSchema, model);
  const [source, target] = [await open(from, 'r'), await open(to, 'wx')];
  try {
    let end = 0;
    const move = async (offset: number, length: number): Promise<number> => {
      const start = Math.ceil(end / alignment) * alignment;
      await copy(source, offset, target, start, length);
      end = start + length;
      return start;
    };
    for (const tensor of tensorsIn(proto.graph)) await moveTensor(tensor, name, move);
    await target.truncate(end);
    await target.sync();
    return toBinary(ModelProtoSchema, proto);
  } finally {
    await source.close();
    await target.close();
  }
}

async function moveTensor(
  { externalData, name: tensor }: TensorProto,
  name: string,
  move: (offset: number, length: number) => Promise<number>,
): Promise<void> {
  if (externalData.length === 0) return;
  const find = (key: string) => externalData.find((entry) => entry.key === key);
  const [location, offset, length] = [find('location'), find('offset'), find('length')];
  if (!location || !length) throw new Error(`weights of ${tensor} have no place`);
  const start = await move(Number(offset?.value ?? 0), Number(length.value));
  location.value = name;
  if (offset) offset.value = String(start);
  else if (start > 0) throw new Error(`weights of ${tensor} have no offset`);
  for (const entry of externalData.filter(({ key }) => packedKey.test(key))) {
    const [kernel, ...blobs] = entry.value.split('|');
    const moved: string[] = [];
    for (const blob of blobs) {
      const fields = /^(\d+);(\d+)((?:;\d+)*)$/.exec(blob);
      if (!fields) throw new Error(`packed weights of ${tensor} have an unknown form`);
      moved.push(`${await move(Number(fields[1]), Number(fields[2]))};${fields[2]!}${fields[3]!}`);
    }
    entry.value = [kernel, ...moved].join('|');
  }
}

/** Of the graph and those inside of it. */
function* tensorsIn(graph: GraphProto | undefined): Generator<TensorProto> {
  if (!graph) return;
  yield* graph.initializer;
  for (const { attribute } of graph.node) {
    for (const { g, graphs } of attribute) {
      yield* tensorsIn(g);
      for (const inner of graphs) yield* tensorsIn(inner);
    }
  }
}

async function copy(
  source: FileHandle,
  offset: number,
  target: FileHandle,
  start: number,
  length: number,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(copyBytes, length));
  for (let done = 0; done < length;) {
    const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (bytesRead === 0) throw new Error('the file of the weights is too short');
    const { bytesWritten } = await target.write(buffer, 0, bytesRead, start + done);
    done += bytesWritten;
  }
}
