import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
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

/** Records of a bucket in order; the next bucket is read into the same memory. */
export interface Sorted {
  readonly rows: number;
  /** Where each record is, in records. */
  readonly order: Uint32Array;
  /** From `wordsEach` × a record's place on: the key's four words, big end first, the row and its line. */
  readonly words: Uint32Array;
  readonly wordsEach: number;
  /** From `numbersEach` × a record's place + `firstNumber` on: its values. */
  readonly numbers: Float64Array;
  readonly numbersEach: number;
}

/** Places before the values and the line of a record. */
export const firstNumber = head / 8;
export const lineWord = 5;

/**
 * Records of some numbers each under a key, on disk: written in any order, read in the order of the keys, and of the rows
 * where keys are the same. The keys' beginnings say which of many files a record goes to, and each file is sorted in
 * memory.
 */
export class Buckets {
  readonly #record: number;
  readonly #files: Bucket[];
  #sorted = false;
  #room = new ArrayBuffer(0);

  /**
   * @param bytes Of all records, roughly.
   * @param width Numbers of a record.
   * @param spread Maps the first word of a key to [0, 1), evenly for the keys that come, and in their order.
   */
  constructor(
    folder: string,
    bytes: number,
    width: number,
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

  /** @param key Four words. */
  add(key: Uint32Array, row: number, line: number, values: Float64Array): void {
    const word = key[0]!;
    const file = this.#files[Math.floor(this.spread(word) * this.#files.length)]!;
    if (file.used === file.room.length) this.#flush(file);
    const { words, numbers } = file;
    const at = file.used / 4;
    words[at] = word;
    words[at + 1] = key[1]!;
    words[at + 2] = key[2]!;
    words[at + 3] = key[3]!;
    words[at + 4] = row;
    words[at + lineWord] = line;
    const first = file.used / 8 + firstNumber;
    for (let index = 0; index < values.length; index++) numbers[first + index] = values[index]!;
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
      const words = new Uint32Array(this.#load(file.path, size), 0, size / 4);
      const order = this.#orderOf(file, words);
      const numbers = new Float64Array(words.buffer, 0, size / 8);
      const [wordsEach, numbersEach] = [this.#record / 4, this.#record / 8];
      yield { rows: order.length, order, words, wordsEach, numbers, numbersEach };
    }
    this.#sorted = true;
  }

  #load(path: string, size: number): ArrayBuffer {
    if (this.#room.byteLength < size) this.#room = new ArrayBuffer(size + size / 8);
    const file = openSync(path, 'r');
    try {
      for (let at = 0; at < size;) {
        const read = readSync(file, new Uint8Array(this.#room, at, size - at));
        if (read === 0) throw new Error(`${path} has become shorter`);
        at += read;
      }
    } finally {
      closeSync(file);
    }
    return this.#room;
  }

  /** Is kept beside the records, which are much larger. */
  #orderOf({ path }: Bucket, words: Uint32Array): Uint32Array {
    if (this.#sorted) {
      const stored = readFileSync(`${path}-order`);
      return new Uint32Array(stored.buffer, stored.byteOffset, stored.length / 4);
    }
    const order = this.#sort(words);
    writeFileSync(`${path}-order`, order);
    return order;
  }

  /** Places of the records in the order of their keys; of the same keys, as they came. */
  #sort(words: Uint32Array): Uint32Array {
    const step = this.#record / 4;
    const rows = words.length / step;
    // Numbers are sorted much faster than by a function: as many bits of the key as go before those of the place.
    const places = 2 ** Math.ceil(Math.log2(rows + 1));
    const dropped = Math.max(1, places / 2 ** 21);
    const tagged = new Float64Array(rows);
    for (let row = 0; row < rows; row++)
      tagged[row] = Math.floor(words[row * step]! / dropped) * places + row;
    tagged.sort();
    const order = new Uint32Array(rows);
    for (let row = 0; row < rows; row++) order[row] = tagged[row]! % places;
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
}

function tooManyAlike(): MaasError {
  return new MaasError('MAAS_DATA_SPLIT', 'too many rows are alike, or of one group, to be kept together', {
    hint: 'Set data.split.by: hash, group by a column with more values, or raise data.memory.',
  });
}
