import { open } from 'node:fs/promises';

/** Bytes that are read at a time. */
const block = 1 << 16;

/** Reads a file that others append lines to: each call gives the lines that are new and whole, without empty ones. */
export function followLines(path: string): () => Promise<string[]> {
  let offset = 0;
  let rest = Buffer.alloc(0);
  return async () => {
    const lines: string[] = [];
    const file = await open(path, 'r');
    try {
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(block), 0, block, offset);
        if (bytesRead === 0) return lines;
        offset += bytesRead;
        rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
        // A line that has no end yet is still being written.
        for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
          const text = rest.toString('utf8', 0, end).trim();
          rest = rest.subarray(end + 1);
          if (text !== '') lines.push(text);
        }
      }
    } finally {
      await file.close();
    }
  };
}
