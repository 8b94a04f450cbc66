import { createReadStream } from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { MaasError } from '../../errors.js';

/**
 * Passes the bytes on as they are, once they are known to be UTF-8: read in another encoding, names and categories
 * would be wrong without anybody noticing.
 * @throws MaasError MAAS_DATA_SYNTAX.
 */
export async function* checkUtf8(path: string, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let first = true;
  try {
    for await (const chunk of chunks) {
      if (first && isUtf16(chunk)) throw notUtf8(path, undefined, 'UTF-16');
      first = false;
      decoder.decode(chunk, { stream: true });
      yield chunk;
    }
    decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw notUtf8(path, await findBadLine(path));
  }
}

function isUtf16(chunk: Buffer): boolean {
  const mark = chunk.subarray(0, 2).toString('hex');
  return mark === 'fffe' || mark === 'feff';
}

function notUtf8(path: string, line?: number, encoding = 'some other encoding'): MaasError {
  return new MaasError('MAAS_DATA_SYNTAX', `the file is not UTF-8 text but ${encoding}`, {
    place: { file: path, ...(line !== undefined && { line }) },
    hint: 'Save the file as UTF-8, for instance with `iconv -t UTF-8`.',
  });
}

/** First line that is not UTF-8; reads the file again, line by line. */
async function findBadLine(path: string): Promise<number | undefined> {
  let line = 1;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let text = Buffer.concat([rest, chunk]);
    for (let end = text.indexOf(0x0a); end !== -1; end = text.indexOf(0x0a)) {
      if (!isUtf8(text.subarray(0, end))) return line;
      text = text.subarray(end + 1);
      line += 1;
    }
    rest = text;
  }
  return isUtf8(rest) ? undefined : line;
}
