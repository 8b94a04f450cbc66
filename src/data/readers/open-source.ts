import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, constants, readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { MaasError } from '../../errors.js';
import { formatOf } from './formats.js';
import type { ScanOptions } from './reader.js';
import { didYouMean } from '../../suggest.js';

/**
 * Makes sure that `path` is a file that can be read and has bytes in it.
 * @throws MaasError MAAS_DATA_MISSING or MAAS_DATA_EMPTY.
 */
export async function checkSource(path: string): Promise<void> {
  const place = { file: path };
  try {
    const stats = await stat(path);
    if (!stats.isFile()) {
      const what = stats.isDirectory() ? 'folder' : stats.isFIFO() ? 'pipe' : 'device';
      // Opening a pipe would wait for somebody to write into it.
      throw new MaasError('MAAS_DATA_MISSING', `data.source is a ${what}, expected a file`, {
        place,
        ...(what !== 'folder' && { hint: 'The data is read more than once: write it to a file first.' }),
      });
    }
    if (stats.size === 0) throw new MaasError('MAAS_DATA_EMPTY', 'the file is empty', { place });
    await access(path, constants.R_OK);
  } catch (error) {
    throw error instanceof MaasError ? error : await describeOpenError(path, error as NodeJS.ErrnoException);
  }
}

/** @param what What `path` was to be. */
export async function describeOpenError(
  path: string,
  error: NodeJS.ErrnoException,
  what = 'file',
): Promise<unknown> {
  const place = { file: path };
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    const neighbours = await readdir(dirname(path)).catch(() => []);
    const hint = didYouMean(basename(path), neighbours);
    return new MaasError('MAAS_DATA_MISSING', `there is no such ${what}`, { place, hint, cause: error });
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new MaasError('MAAS_DATA_MISSING', `the ${what} may not be read (permission denied)`, {
      place,
      hint: 'Give yourself the right to read it, for instance with chmod u+r.',
      cause: error,
    });
  }
  return new MaasError('MAAS_DATA_MISSING', `the ${what} cannot be opened: ${error.message}`, {
    place,
    cause: error,
  });
}

/**
 * The source's bytes in order, unpacked if it is packed; the hash is that of the file as it is.
 * @throws MaasError MAAS_DATA_SYNTAX when it is no whole gzip file.
 */
export async function* streamSource(path: string, options: ScanOptions = {}): AsyncGenerator<Buffer> {
  if (!formatOf(path)?.gzip) {
    yield* streamFile(path, options);
    return;
  }
  const unzipped = createGunzip({ chunkSize: 1 << 18 });
  const packed = Readable.from(streamFile(path, options));
  packed.on('error', (error) => unzipped.destroy(error));
  try {
    yield* packed.pipe(unzipped) as AsyncIterable<Buffer>;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!code.startsWith('Z_')) throw error;
    const what =
      code === 'Z_BUF_ERROR' ? 'the gzip file ends early' : 'the file is no gzip file, or is damaged';
    throw new MaasError('MAAS_DATA_SYNTAX', what, {
      place: { file: path },
      hint: 'Check it with `gzip -t`, and copy or make it again.',
      cause: error,
    });
  } finally {
    packed.destroy();
    unzipped.destroy();
  }
}

async function* streamFile(path: string, { hash, signal }: ScanOptions): AsyncGenerator<Buffer> {
  signal?.throwIfAborted();
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
    signal?.throwIfAborted();
    hash?.update(chunk);
    yield chunk;
  }
}

/**
 * Does something that reads the source.
 * @throws MaasError MAAS_DATA_CHANGED when the file has been written to meanwhile: nobody knows which rows were read.
 */
export async function watchSource<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  const before = await identify(path);
  const refuseChange = async (cause?: unknown): Promise<void> => {
    if ((await identify(path)) === before) return;
    throw new MaasError('MAAS_DATA_CHANGED', 'the file was changed while it was read', {
      place: { file: path },
      hint: 'Run the command again when nothing writes to the file any more.',
      cause,
    });
  };
  try {
    const result = await read();
    await refuseChange();
    return result;
  } catch (error) {
    await refuseChange(error);
    throw error;
  }
}

async function identify(path: string): Promise<string> {
  const { ino, size, mtimeNs } = await stat(path, { bigint: true }).catch(() => ({
    ino: 0n,
    size: 0n,
    mtimeNs: 0n,
  }));
  return [ino, size, mtimeNs].join();
}

/**
 * sha256 of the source's bytes, in hex; for cache keys, where the rows themselves are not needed.
 * @throws MaasError MAAS_DATA_MISSING or MAAS_DATA_EMPTY.
 */
export async function digestSource(path: string, signal?: AbortSignal): Promise<string> {
  await checkSource(path);
  const hash = createHash('sha256');
  await hashFile(path, { hash, signal });
  return hash.digest('hex');
}

/** Feeds the file to the hash. */
export async function hashFile(path: string, options: ScanOptions): Promise<void> {
  const chunks = streamFile(path, options);
  while (!(await chunks.next()).done);
}
