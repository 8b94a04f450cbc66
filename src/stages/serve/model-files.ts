import type { Json } from '../../artifacts/index.js';
import { readFile, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Reference } from '../../data/drift/reference.js';
import type { Signature } from '../../data/signature.js';
import { MaasError } from '../../errors.js';
import { findExternalFiles } from './external-files.js';
import type { Golden } from './golden.js';
import { largestToTry } from './placement.js';

/** A model that lies on disk, ready to be opened. */
export interface ModelFiles {
  readonly name: string;
  readonly version: string;
  readonly projectName: string;
  /** Bytes of model.onnx; its path when it is large or has external data, which the runtime finds beside it. */
  readonly model: Uint8Array | string;
  /** Where model.onnx lies, if it lies anywhere. */
  readonly path?: string;
  /** What the runtime reads by itself each time that it opens the model: its file, and those of its external data. */
  readonly sources?: readonly string[];
  /** In bytes, external data and all. */
  readonly size: number;
  /** Models that maas trained bring these; any other is tried out with made-up rows. */
  readonly signature?: Signature;
  readonly golden?: Golden;
  /** What its features and answers are compared with. Older releases have none. */
  readonly reference?: Reference;
  /** Processors that it was compressed for. */
  readonly target?: Json | undefined;
}

/**
 * Takes any ONNX file for a model.
 * @throws MaasError MAAS_MODEL_INVALID when it cannot be read, or its weights lie outside of its folder.
 */
export async function readOnnxFile(
  path: string,
  { name = basename(path).replace(/\.onnx$/i, ''), version = '1' } = {},
): Promise<ModelFiles> {
  const identity = { name, version, projectName: name, path: resolve(path) };
  try {
    const { size } = await stat(path);
    const bytes = size > largestToTry ? undefined : await readFile(path);
    const external = await findExternalFiles(path, bytes);
    const whole = { ...identity, size: size + external.size };
    if (bytes && external.paths.length === 0) return { ...whole, model: bytes };
    return { ...whole, model: path, sources: [path, ...external.paths] };
  } catch (error) {
    if (error instanceof MaasError) throw error;
    throw new MaasError('MAAS_MODEL_INVALID', `${path} cannot be read: ${(error as Error).message}`, {
      place: { file: path },
      hint: 'Name an .onnx file.',
      cause: error,
    });
  }
}
