import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { asDiskError } from '../../errors.js';
import type { Model } from '../graph.js';
import { byteLengthOf, type Tensor } from '../tensor.js';
import { encodeParts, lengthOf, type Part, type Placing } from './encode.js';
import { readPieces, type ExternalEntry } from './external.js';

/** protobuf messages, and so ONNX files without external data, end at 2 GiB. */
export const maxFileLength = 2 ** 31 - 1;

/** Offsets of weights in an external file: a cache line, so that a mapped file can be read in place. */
const alignment = 64;
/** Weights smaller than this stay in the model file, where shapes and scalars are wanted. In bytes. */
const externalFrom = 1024;
/** The kernel takes no more buffers than this in one write. */
const maxBuffers = 1024;

export interface SaveOptions {
  /** Put weights in `<file>.data` beside the model. Default: only when the model is too large for one file. */
  readonly external?: boolean;
}

/**
 * Encodes a model whose weights are in memory.
 * @throws TypeError for external data (see `loadWeights`), RangeError above 2 GiB.
 */
export function encodeModel(model: Model): Uint8Array {
  const parts = encodeParts(model);
  const length = lengthOf(parts);
  if (length > maxFileLength)
    throw new RangeError(`a model of ${length} bytes does not fit in one ONNX file`);
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    if (!(part instanceof Uint8Array))
      throw new TypeError('the model has external data: load its weights first');
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** True when the weights leave no room for the graph in one file. */
export function needsExternal(model: Model): boolean {
  let weights = 0;
  for (const constant of model.graph.initializers.values()) weights += byteLengthOf(constant);
  return weights > maxFileLength - (1 << 26);
}

/**
 * Writes a model file, and its external data if it has any, whole or not at all. Weights go to the disk from where
 * they are: they are not copied in memory, and external data of the loaded model is read piece by piece.
 * @returns the bytes of its files.
 * @throws MaasError MAAS_DISK when the folder cannot be written.
 */
export async function saveModel(model: Model, path: string, options: SaveOptions = {}): Promise<number> {
  const dataPath = `${path}.data`;
  const external = options.external ?? needsExternal(model);
  const { placing, parts } = external
    ? placeWeights(model.graph.initializers, basename(dataPath))
    : { placing: new Map<string, ExternalEntry>(), parts: [] };
  try {
    if (parts.length > 0) await writeParts(`${dataPath}.tmp`, parts);
    const encoded = encodeParts(model, placing);
    await writeParts(`${path}.tmp`, encoded);
    if (parts.length > 0) await rename(`${dataPath}.tmp`, dataPath);
    await rename(`${path}.tmp`, path);
    return lengthOf(parts) + lengthOf(encoded);
  } catch (error) {
    await Promise.all([`${path}.tmp`, `${dataPath}.tmp`].map((file) => rm(file, { force: true }))).catch(
      () => undefined,
    );
    throw asDiskError(error, `cannot write ${path}`);
  }
}

function placeWeights(
  initializers: ReadonlyMap<string, Tensor>,
  location: string,
): { placing: Placing; parts: Part[] } {
  const placing = new Map<string, ExternalEntry>();
  const parts: Part[] = [];
  let offset = 0;
  for (const [name, constant] of initializers) {
    if (constant.dtype === 'string' || byteLengthOf(constant) < externalFrom) continue;
    const data = constant.data as Part;
    const padding = (alignment - (offset % alignment)) % alignment;
    if (padding > 0) parts.push(new Uint8Array(padding));
    offset += padding;
    placing.set(name, { location, offset: String(offset), length: String(data.length) });
    parts.push(data);
    offset += data.length;
  }
  return { placing, parts };
}

async function writeParts(path: string, parts: readonly Part[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    let pending: Uint8Array[] = [];
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        pending.push(part);
        if (pending.length < maxBuffers) continue;
      }
      await writeAll(file, pending);
      pending = [];
      if (!(part instanceof Uint8Array)) {
        for await (const piece of readPieces(part)) await writeAll(file, [piece]);
      }
    }
    await writeAll(file, pending);
  } finally {
    await file.close();
  }
}

/** Writes buffers in one system call where the kernel takes them all, in more where it does not. */
async function writeAll(file: FileHandle, buffers: readonly Uint8Array[]): Promise<void> {
  let left = buffers.filter((buffer) => buffer.length > 0);
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left);
    left = left.flatMap((buffer) => {
      const done = Math.min(bytesWritten, buffer.length);
      bytesWritten -= done;
      return done < buffer.length ? [buffer.subarray(done)] : [];
    });
  }
}
