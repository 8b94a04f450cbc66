import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { MaasError } from '../../errors.js';
import { didYouMean } from '../../suggest.js';

/**
 * Makes sure that `path` is a file that can be read and has bytes in it.
 * @throws MaasError MAAS_DATA_MISSING or MAAS_DATA_EMPTY.
 */
export async function checkSource(path: string): Promise<void> {
  const place = { file: path };
  let file;
  try {
    file = await open(path);
  } catch (error) {
    throw await describeOpenError(path, error as NodeJS.ErrnoException);
  }
  try {
    const stats = await file.stat();
    if (stats.isDirectory()) {
      throw new MaasError('MAAS_DATA_MISSING', 'data.source is a folder, expected a file', { place });
    }
    if (stats.isFile() && stats.size === 0)
      throw new MaasError('MAAS_DATA_EMPTY', 'the file is empty', { place });
  } finally {
    await file.close();
  }
}

async function describeOpenError(path: string, error: NodeJS.ErrnoException): Promise<unknown> {
  const place = { file: path };
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    const neighbours = await readdir(dirname(path)).catch(() => []);
    const hint = didYouMean(basename(path), neighbours);
    return new MaasError('MAAS_DATA_MISSING', 'there is no such file', { place, hint, cause: error });
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new MaasError('MAAS_DATA_MISSING', 'the file may not be read (permission denied)', {
      place,
      hint: 'Give yourself the right to read it, for instance with chmod u+r.',
      cause: error,
    });
  }
  return new MaasError('MAAS_DATA_MISSING', `the file cannot be opened: ${error.message}`, {
    place,
    cause: error,
  });
}

interface StreamOptions {
  /** Is fed each chunk on the way. */
  readonly hash?: Hash;
  readonly signal?: AbortSignal;
}

/** The source's bytes in order. */
export async function* streamSource(path: string, { hash, signal }: StreamOptions): AsyncGenerator<Buffer> {
  signal?.throwIfAborted();
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
    signal?.throwIfAborted();
    hash?.update(chunk);
    yield chunk;
  }
}

/**
 * sha256 of the source's bytes, in hex; for cache keys, where the rows themselves are not needed.
 * @throws MaasError MAAS_DATA_MISSING or MAAS_DATA_EMPTY.
 */
export async function digestSource(path: string, signal?: AbortSignal): Promise<string> {
  await checkSource(path);
  const hash = createHash('sha256');
  const chunks = streamSource(path, { hash, signal });
  while (!(await chunks.next()).done);
  return hash.digest('hex');
}
