import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { MaasError } from '../../errors.js';

/** Bytes before the values of a record: the key (16), the number of the row and its line (4 each). */
const head = 24;
/** Bytes that are collected for a bucket before they are written. */
const flushAt = 1 << 16;
/** Bytes that a bucket should have, and those that it may have. */
const wanted = 1 << 25;
const largest = 1 << 29;
const mostBuckets = 1024;

interface Bucket {
  readonly path: string;
  /** What is to be written, as bytes, words and numbers. */
  readonly room: Uint8Array;
  readonly words: Uint32Array;
  readonly numbers: Float64Array;
  used: number;
}

/** Records of a bucket in order. */
export interface Sorted {
  readonly rows: number;
  /** The key's four words, big end first, at 4 × row. */
  readonly keys: Uint32Array;
  readonly lines: Uint32Array;
  /** [rows, width]. */
  readonly values: Float64Array;
}

/**
 * Records of some numbers each under a key, on disk: written in any order, read in the order of the keys, and of the rows
 * where keys are the same. The keys' beginnings say which of many files a record goes to, and each file is sorted in
 * memory.
 */
export class Buckets {
  readonly #record: number;
  readonly #files: Bucket[];
  #sorted = false;

  /**
   * @param bytes Of all records, roughly.
   * @param width Numbers of a record.
   * @param spread Maps the first word of a key to [0, 1), evenly for the keys that come, and in their order.
   */
  constructor(
    folder: string,
    bytes: number,
    private readonly width: number,
    private readonly spread: (word: number) => number,
  ) {
    this.#record = head + 8 * width;
    const count = Math.min(mostBuckets, Math.max(1, Math.ceil(bytes / wanted)));
    const room = Math.max(this.#record, Math.floor(flushAt / this.#record) * this.#record);
    this.#files = Array.from({ length: count }, (_, index) => {
      const bytes = new ArrayBuffer(room);
      const path = join(folder, `bucket-${index}`);
      const views = { words: new Uint32Array(bytes), numbers: new Float64Array(bytes) };
      return { path, room: new Uint8Array(bytes), ...views, used: 0 };
    });
    for (const { path } of this.#files) writeFileSync(path, '');
  }

  /** @param key 16 bytes. */
  add(key: Buffer, row: number, line: number, values: Float64Array): void {
    const word = key.readUInt32BE(0);
    const file = this.#files[Math.floor(this.spread(word) * this.#files.length)]!;
    if (file.used === file.room.length) this.#flush(file);
    const { words } = file;
    const at = file.used / 4;
    words[at] = word;
    words[at + 1] = key.readUInt32BE(4);
    words[at + 2] = key.readUInt32BE(8);
    words[at + 3] = key.readUInt32BE(12);
    words[at + 4] = row;
    words[at + 5] = line;
    file.numbers.set(values, (file.used + head) / 8);
    file.used += this.#record;
  }

  #flush(file: Bucket): void {
    const to = openSync(file.path, 'a');
    try {
      for (let at = 0; at < file.used;) at += writeSync(to, file.room, at, file.used - at);
    } finally {
      closeSync(to);
    }
    file.used = 0;
  }

  /** Bucket by bucket. May be gone through several times, when nothing is added any more. */
  *read(): Generator<Sorted> {
    for (const file of this.#files) {
      if (!this.#sorted) this.#flush(file);
      const { size } = statSync(file.path);
      if (size === 0) continue;
      if (size > largest) throw tooManyAlike();
      const bytes = readFileSync(file.path);
      yield this.#part(bytes, this.#orderOf(file, bytes));
    }
    this.#sorted = true;
  }

  /** Is kept beside the records, which are much larger. */
  #orderOf({ path }: Bucket, bytes: Buffer): Uint32Array {
    if (this.#sorted) {
      const stored = readFileSync(`${path}-order`);
      return new Uint32Array(stored.buffer, stored.byteOffset, stored.length / 4);
    }
    const order = this.#sort(bytes);
    writeFileSync(`${path}-order`, order);
    return order;
  }

  /** Places of the records in the order of their keys; of the same keys, as they came. */
  #sort(bytes: Buffer): Uint32Array {
    const step = this.#record / 4;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const rows = bytes.length / this.#record;
    // Numbers are sorted much faster than by a function: as many bits of the key as go before those of the place.
    const places = 2 ** Math.ceil(Math.log2(rows + 1));
    const dropped = Math.max(1, places / 2 ** 21);
    const tagged = Float64Array.from(
      { length: rows },
      (_, row) => Math.floor(words[row * step]! / dropped) * places + row,
    ).sort();
    const order = Uint32Array.from(tagged, (tag) => tag % places);
    const compare = (a: number, b: number): number => {
      const [p, q] = [a * step, b * step];
      return (
        words[p]! - words[q]! ||
        words[p + 1]! - words[q + 1]! ||
        words[p + 2]! - words[q + 2]! ||
        words[p + 3]! - words[q + 3]! ||
        a - b
      );
    };
    // What those bits leave open.
    const tagOf = (at: number): number => Math.floor(tagged[at]! / places);
    for (let from = 0, to = 1; to <= rows; to++) {
      if (to < rows && tagOf(to) === tagOf(from)) continue;
      if (to - from > 1) order.subarray(from, to).sort(compare);
      from = to;
    }
    return order;
  }

  #part(bytes: Buffer, order: Uint32Array): Sorted {
    const rows = order.length;
    const { width } = this;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
    const [step, slots] = [this.#record / 4, this.#record / 8];
    const keys = new Uint32Array(rows * 4);
    const lines = new Uint32Array(rows);
    const values = new Float64Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const [from, first] = [order[row]! * step, order[row]! * slots + head / 8];
      for (let i = 0; i < 4; i++) keys[row * 4 + i] = words[from + i]!;
      lines[row] = words[from + 5]!;
      for (let i = 0; i < width; i++) values[row * width + i] = numbers[first + i]!;
    }
    return { rows, keys, lines, values };
  }
}

function tooManyAlike(): MaasError {
  return new MaasError('MAAS_DATA_SPLIT', 'too many rows are alike, or of one group, to be kept together', {
    hint: 'Set data.split.by: hash, group by a column with more values, or raise data.memory.',
  });
}
