import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isFileRange } from '../../ir/tensor.js';

export interface ExternalFiles {
  readonly paths: readonly string[];
  /** Of what the model has in them, in bytes. */
  readonly size: number;
}

const none: ExternalFiles = { paths: [], size: 0 };

/** Every external tensor names its file under this key; few other models hold the word. */
const key = 'location';

/**
 * Files beside a model with weights of it. To read all of a large model takes as long as to start the server does: it is done
 * only where the search for the key finds it.
 * @param bytes Of the model, where they are at hand.
 * @throws MaasError MAAS_MODEL_INVALID when the model cannot be read, or its weights lie outside of its folder.
 */
export async function findExternalFiles(path: string, bytes?: Buffer): Promise<ExternalFiles> {
  if (!(bytes ? bytes.includes(key) : (await hasNeighbours(path)) && (await holdsKey(path)))) return none;
  const { loadModel } = await import('../../ir/onnx/load.js');
  const { graph } = await loadModel(path);
  const ranges = [...graph.initializers.values()].flatMap(({ data }) => (isFileRange(data) ? [data] : []));
  return {
    paths: [...new Set(ranges.map((range) => range.path))],
    size: ranges.reduce((sum, { length }) => sum + length, 0),
  };
}

/** Smaller files beside a large model are no weights worth counting. In bytes. */
const smallest = 2 ** 16;

/** Whether anything lies beside it that may hold its weights: other models do not, nor what is hidden or installed. */
async function hasNeighbours(path: string): Promise<boolean> {
  const folder = dirname(path);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (/^\.|^node_modules$|\.onnx$/i.test(entry.name)) continue;
    if (!entry.isFile() || (await stat(join(folder, entry.name))).size >= smallest) return true;
  }
  return false;
}

async function holdsKey(path: string): Promise<boolean> {
  let rest = '';
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
    // The key may lie across two chunks.
    if (chunk.includes(key) || (rest + chunk.toString('latin1', 0, key.length)).includes(key)) return true;
    rest = chunk.toString('latin1', Math.max(0, chunk.length - key.length));
  }
  return false;
}
