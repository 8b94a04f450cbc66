import { closeSync, openSync, readSync } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import type { Graph, Model } from '../graph.js';
import { isFileRange, type FileRange, type Tensor } from '../tensor.js';
import { invalid, type Source } from './source.js';

/** `external_data` of a TensorProto: decimal numbers as text. */
export interface ExternalEntry {
  readonly location: string;
  readonly offset: string;
  readonly length: string;
}

/**
 * The file range that an external tensor of `length` bytes names.
 * @throws MaasError MAAS_MODEL_INVALID when it lies outside the model's folder or has another length.
 */
export function locate(
  entry: Partial<ExternalEntry>,
  length: number,
  where: string,
  source: Source,
): FileRange {
  const { baseDir } = source;
  if (baseDir === undefined) {
    throw invalid(source, `${where} is external data, and a model in memory has no folder to look in`);
  }
  const location = entry.location ?? '';
  const path = resolve(baseDir, location);
  if (location === '' || isAbsolute(location) || isOutside(baseDir, path)) {
    throw invalid(
      source,
      `${where} is external data outside the model's folder: ${location || '(no location)'}`,
    );
  }
  const offset = Number(entry.offset ?? 0);
  const stated = Number(entry.length ?? length);
  if (!Number.isSafeInteger(offset) || offset < 0 || stated !== length) {
    throw invalid(source, `${where} needs ${length} bytes, its external data states ${stated} at ${offset}`);
  }
  return { path, offset, length };
}

function isOutside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way);
}

/**
 * Checks that each external file is there, long enough, and not a link out of the model's folder.
 * @throws MaasError MAAS_MODEL_INVALID
 */
export async function checkExternal(graph: Graph, source: Source): Promise<void> {
  const sizes = new Map<string, number>();
  for (const [name, { data }] of graph.initializers) {
    if (!isFileRange(data)) continue;
    let size = sizes.get(data.path);
    if (size === undefined) {
      try {
        if (isOutside(await realpath(source.baseDir!), await realpath(data.path))) {
          throw invalid(source, `external data ${data.path} is a link out of the model's folder`);
        }
        size = (await stat(data.path)).size;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === undefined || !('syscall' in (error as object)))
          throw error;
        throw invalid(
          source,
          `external data ${data.path} cannot be read: ${(error as Error).message}`,
          error,
        );
      }
      sizes.set(data.path, size);
    }
    if (data.offset + data.length > size) {
      throw invalid(
        source,
        `external data ${data.path} has ${size} bytes; ${name} needs ${data.offset + data.length}`,
      );
    }
  }
}

/** Reads a range at once; for the few weights that must be in memory while a model is decoded. */
export function readRangeNow({ path, offset, length }: FileRange, source: Source): Uint8Array {
  const bytes = new Uint8Array(length);
  let count = 0;
  try {
    const file = openSync(path, 'r');
    try {
      for (let read = -1; count < length && read !== 0; count += read) {
        read = readSync(file, bytes, count, length - count, offset + count);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw invalid(source, `external data ${path} cannot be read: ${(error as Error).message}`, error);
  }
  if (count < length) throw invalid(source, `external data ${path} ends at byte ${offset + count}`);
  return bytes;
}

/**
 * The pieces of a file range, in a buffer that is used again for the next piece.
 * @throws MaasError MAAS_MODEL_INVALID when the file ends before the range does.
 */
export async function* readPieces(
  { path, offset, length }: FileRange,
  size = 1 << 22,
): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const buffer = new Uint8Array(Math.min(size, length));
    for (let done = 0; done < length;) {
      const want = Math.min(buffer.length, length - done);
      const { bytesRead } = await file.read(buffer, 0, want, offset + done);
      if (bytesRead === 0) throw invalid({ file: path }, `external data ends at byte ${offset + done}`);
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** The same constant with its data in memory. */
export async function loadTensor(constant: Tensor): Promise<Tensor> {
  if (!isFileRange(constant.data)) return constant;
  const bytes = new Uint8Array(constant.data.length);
  let done = 0;
  for await (const piece of readPieces(constant.data)) {
    bytes.set(piece, done);
    done += piece.length;
  }
  return { ...constant, data: bytes };
}

/** The same model with all its external data in memory. */
export async function loadWeights(model: Model): Promise<Model> {
  const initializers = new Map<string, Tensor>();
  for (const [name, constant] of model.graph.initializers) initializers.set(name, await loadTensor(constant));
  return { ...model, graph: { ...model.graph, initializers } };
}
