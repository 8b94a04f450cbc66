import type { Fields } from './readers/fields.js';

/** Hashes some fields of a record to four words; hashes are ordered by their first word, then by the second, and so on. */
export type HashFields = (fields: Fields, columns: readonly number[], into: Uint32Array) => void;

/**
 * Prepares to hash records to 128 bits by what their fields say, wherever they come from: MurmurHash3_x86_128 (Appleby) over the
 * seed as a double, and for each field the number of its bytes and its UTF-8 filled up to whole words, little end first; all of it
 * filled up to 16 bytes. It is there to mix rows and to know copies, not to keep secrets: sha256 takes ten times as long.
 */
export function startHashing(seed: number): HashFields {
  const seedWords = new Uint32Array(Float64Array.of(seed).buffer);
  let words = new Int32Array(1 << 10);
  return (fields, columns, into) => {
    const { starts, ends, escaped } = fields;
    // A field takes a word for its length, and one that is not full.
    const most = 8 + 2 * columns.length + ((fields.to - fields.from) >>> 2);
    if (words.length < most) words = new Int32Array(2 * most);
    words[0] = seedWords[0]!;
    words[1] = seedWords[1]!;
    let count = 2;
    for (const column of columns) {
      if (escaped.size > 0 && escaped.has(column)) {
        const plain = Buffer.from(fields.text(column));
        count = gather(plain, 0, plain.length, words, count);
      } else count = gather(fields.bytes, starts[column]!, ends[column]!, words, count);
    }
    while (count % 4 > 0) words[count++] = 0;
    mixWords(words, count, into);
  };
}

/** Appends the length of some bytes and the bytes. Returns how many words there are then. */
function gather(bytes: Uint8Array, from: number, to: number, words: Int32Array, count: number): number {
  words[count++] = to - from;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    words[count++] = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
  if (at < to) {
    let word = 0;
    for (let shift = 0; at < to; at++, shift += 8) word |= bytes[at]! << shift;
    words[count++] = word;
  }
  return count;
}

/** @param count A multiple of 4. */
function mixWords(words: Int32Array, count: number, into: Uint32Array): void {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let at = 0; at < count; at += 4) {
    a ^= scramble(words[at]!, 0x239b961b, 15, 0xab0e9789);
    a = (Math.imul(rotate(a, 19) + b, 5) + 0x561ccd1b) | 0;
    b ^= scramble(words[at + 1]!, 0xab0e9789, 16, 0x38b34ae5);
    b = (Math.imul(rotate(b, 17) + c, 5) + 0x0bcaa747) | 0;
    c ^= scramble(words[at + 2]!, 0x38b34ae5, 17, 0xa1e38b93);
    c = (Math.imul(rotate(c, 15) + d, 5) + 0x96cd1c35) | 0;
    d ^= scramble(words[at + 3]!, 0xa1e38b93, 18, 0x239b961b);
    d = (Math.imul(rotate(d, 13) + a, 5) + 0x32ac3b17) | 0;
  }
  const bytes = 4 * count;
  [a, b, c, d] = [a ^ bytes, b ^ bytes, c ^ bytes, d ^ bytes];
  a += b + c + d;
  [b, c, d] = [b + a, c + a, d + a];
  [a, b, c, d] = [finish(a), finish(b), finish(c), finish(d)];
  a += b + c + d;
  into[0] = a;
  into[1] = b + a;
  into[2] = c + a;
  into[3] = d + a;
}

function scramble(word: number, first: number, bits: number, second: number): number {
  return Math.imul(rotate(Math.imul(word, first), bits), second);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function finish(hash: number): number {
  let h = hash | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A hash in hex, which is ordered as its words are. */
export function hexOf(words: Uint32Array): string {
  let text = '';
  for (let index = 0; index < 4; index++) text += words[index]!.toString(16).padStart(8, '0');
  return text;
}
