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
      const sorted = this.#sorted ? bytes : this.#sort(bytes);
      if (!this.#sorted) writeFileSync(file.path, sorted);
      yield this.#part(sorted);
    }
    this.#sorted = true;
  }

  #sort(bytes: Buffer): Buffer {
    const step = this.#record / 4;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const order = Uint32Array.from({ length: bytes.length / this.#record }, (_, row) => row);
    // Rows come in their order, and sorting is stable.
    order.sort((a, b) => {
      const [p, q] = [a * step, b * step];
      return (
        words[p]! - words[q]! ||
        words[p + 1]! - words[q + 1]! ||
        words[p + 2]! - words[q + 2]! ||
        words[p + 3]! - words[q + 3]!
      );
    });
    const sorted = Buffer.allocUnsafeSlow(bytes.length);
    const slots = this.#record / 8;
    const from = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
    const to = new Float64Array(sorted.buffer, 0, bytes.length / 8);
    for (let row = 0; row < order.length; row++) {
      const at = order[row]! * slots;
      to.set(from.subarray(at, at + slots), row * slots);
    }
    return sorted;
  }

  #part(bytes: Buffer): Sorted {
    const rows = bytes.length / this.#record;
    const { width } = this;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
    const [step, slots] = [this.#record / 4, this.#record / 8];
    const keys = new Uint32Array(rows * 4);
    const lines = new Uint32Array(rows);
    const values = new Float64Array(rows * width);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < 4; i++) keys[row * 4 + i] = words[row * step + i]!;
      lines[row] = words[row * step + 5]!;
      for (let i = 0; i < width; i++) values[row * width + i] = numbers[row * slots + head / 8 + i]!;
    }
    return { rows, keys, lines, values };
  }
}

function tooManyAlike(): MaasError {
  return new MaasError('MAAS_DATA_SPLIT', 'too many rows are alike, or of one group, to be kept together', {
    hint: 'Set data.split.by: hash, group by a column with more values, or raise data.memory.',
  });
}
