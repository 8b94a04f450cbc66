import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { RequestError } from './request-error.js';

const empty = Buffer.alloc(0);

/**
 * Reads a request's body.
 * @throws RequestError 413 when it is larger than `limit` bytes. The rest of it is read and dropped, so that the
 * caller gets to see the answer instead of a reset connection.
 */
export function readBody(message: IncomingMessage, limit: number): Promise<Buffer> {
  const { 'content-length': declared, 'transfer-encoding': chunked } = message.headers;
  if (declared === undefined && chunked === undefined) return Promise.resolve(empty);
  if (declared !== undefined && Number(declared) > limit) {
    message.resume();
    return Promise.reject(tooLarge(limit));
  }
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let length = 0;
    let ended = false;
    message.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limit) chunks.push(chunk);
      else {
        chunks = [];
        reject(tooLarge(limit));
      }
    });
    message.once('end', () => {
      ended = true;
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    message.once('error', reject);
    message.once('close', () => {
      // It closes after every request; an error takes longer to make than the rest of this.
      if (ended) return;
      reject(new RequestError(400, 'the connection closed before the whole body was there'));
    });
  });
}

type Unpacker = 'gunzip' | 'inflate' | 'zstdDecompress';

/** By content encoding; those of zlib, which is loaded when the first packed body comes. */
const unpackers: Readonly<Record<string, Unpacker>> = {
  gzip: 'gunzip',
  'x-gzip': 'gunzip',
  deflate: 'inflate',
  // Node 22.15 and 23.8 brought it.
  ...('zstd' in process.versions && { zstd: 'zstdDecompress' }),
};

/** What to answer as `Accept-Encoding` (RFC 9110, 12.5.3): the encodings that this Node.js unpacks. */
export const acceptedEncodings = Object.keys(unpackers)
  .filter((name) => name !== 'x-gzip')
  .join(', ');

type Unpack = (
  body: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, unpacked: Buffer) => void,
) => void;

/**
 * Unpacks a body that was sent with a content encoding; undefined when it was not, or with one that is not known here.
 * @throws RequestError 413 when it unpacks to more than `limit` bytes, 400 when it is damaged.
 */
export async function unpackBody(
  body: Buffer,
  encoding: string | undefined,
  limit: number,
): Promise<Buffer | undefined> {
  const known = encoding?.trim().toLowerCase() ?? '';
  if (!Object.hasOwn(unpackers, known)) return undefined;
  const zlib = (await import('node:zlib')) as unknown as Readonly<Record<Unpacker, Unpack>>;
  const unpack = promisify(zlib[unpackers[known]!]);
  try {
    return await unpack(body, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit, 'unpacked ');
    throw new RequestError(400, `the body is not valid ${encoding!}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function tooLarge(limit: number, what = ''): RequestError {
  return new RequestError(413, `the ${what}body is larger than ${limit} bytes`);
}
