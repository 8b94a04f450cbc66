import { hash } from 'node:crypto';
import type { Fields } from '../readers/index.js';

const [quote, backslash, comma, space, close] = [0x22, 0x5c, 0x2c, 0x20, 0x5d];

/**
 * Prepares to make the key of rows: the first 16 bytes of the sha256 of `[seed,"cell",…]` as JSON, which is how
 * split-units.ts orders rows in memory.
 */
export function startKeys(seed: number): (fields: Fields, columns: readonly number[]) => Buffer {
  const opening = Buffer.from(`[${seed}`);
  let room: Buffer = Buffer.alloc(1 << 12);
  return (fields, columns) => {
    const { bytes, starts, ends, escaped } = fields;
    // As many bytes as the fields, with quotes and commas, if nothing in them needs to be escaped.
    const most = opening.length + fields.to - fields.from + 3 * columns.length + 1;
    if (room.length < most) room = Buffer.alloc(2 * most);
    room.set(opening);
    let at = opening.length;
    for (const index of columns) {
      room[at++] = comma;
      room[at++] = quote;
      const end = ends[index]!;
      for (let from = starts[index]!; from < end; from++) {
        const byte = bytes[from]!;
        if (byte === quote || byte === backslash || byte < space) return slowKey(seed, fields, columns);
        room[at++] = byte;
      }
      if (escaped.has(index)) return slowKey(seed, fields, columns);
      room[at++] = quote;
    }
    room[at++] = close;
    return hash('sha256', room.subarray(0, at), 'buffer');
  };
}

function slowKey(seed: number, fields: Fields, columns: readonly number[]): Buffer {
  const content = JSON.stringify([seed, ...columns.map((index) => fields.text(index))]);
  return hash('sha256', content, 'buffer');
}

/** The key that puts units in the order of `row` written out, as moments are in memory. */
export function keyOfNumber(row: number): Buffer {
  const key = Buffer.alloc(16);
  key.write(String(row), 'latin1');
  return key;
}

/** The number that `keyOfNumber` made a key of, from its words. */
export function numberOfKey(words: Uint32Array, at: number): number {
  const bytes = Buffer.alloc(16);
  for (let index = 0; index < 4; index++) bytes.writeUInt32BE(words[at + index]!, 4 * index);
  return Number(bytes.toString('latin1').replaceAll('\0', ''));
}
