import type { IncomingMessage } from 'node:http';
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
    message.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limit) chunks.push(chunk);
      else {
        chunks = [];
        reject(tooLarge(limit));
      }
    });
    message.once('end', () => {
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    message.once('error', reject);
    message.once('close', () => {
      reject(new RequestError(400, 'the connection closed before the whole body was there'));
    });
  });
}

function tooLarge(limit: number): RequestError {
  return new RequestError(413, `the body is larger than ${limit} bytes`);
}
