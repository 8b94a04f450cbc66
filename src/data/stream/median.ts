import { closeSync, openSync, readSync, writeSync } from 'node:fs';

/** Numbers on disk whose median is wanted. */
export class Spill {
  #room = new Float64Array(8192);
  #used = 0;
  count = 0;
  sum = 0;

  constructor(private readonly path: string) {}

  add(value: number): void {
    if (this.#used === this.#room.length) this.#flush();
    this.#room[this.#used++] = value;
    this.count += 1;
    this.sum += value;
  }

  #flush(): void {
    const file = openSync(this.path, 'a');
    try {
      const bytes = new Uint8Array(this.#room.buffer, 0, this.#used * 8);
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    } finally {
      closeSync(file);
    }
    this.#used = 0;
  }

  /** Exact: the middle numbers are found 16 bits at a time, counting. */
  median(): number {
    if (this.count === 0) return NaN;
    this.#flush();
    const middle = this.count >> 1;
    const upper = this.#find(middle);
    return this.count % 2 === 1 ? upper : (this.#find(middle - 1) + upper) / 2;
  }

  /** The number with `rank` smaller ones before it. */
  #find(rank: number): number {
    let prefix = 0n;
    let left = rank;
    for (let shift = 48n; shift >= 0n; shift -= 16n) {
      const counts = new Uint32Array(65_536);
      for (const key of this.#keys()) {
        if (shift === 48n || key >> (shift + 16n) === prefix) counts[Number((key >> shift) & 0xffffn)]! += 1;
      }
      let digit = 0;
      while (left >= counts[digit]!) left -= counts[digit++]!;
      prefix = (prefix << 16n) | BigInt(digit);
    }
    return numberOf(prefix);
  }

  *#keys(): Generator<bigint> {
    const file = openSync(this.path, 'r');
    const room = new BigUint64Array(65_536);
    try {
      for (;;) {
        const read = readSync(file, room);
        if (read === 0) return;
        for (let at = 0; at < read / 8; at++) yield keyOf(room[at]!);
      }
    } finally {
      closeSync(file);
    }
  }
}

const sign = 1n << 63n;
const all = (1n << 64n) - 1n;

/** The bits of a double turned so that they sort as the numbers do. */
function keyOf(bits: bigint): bigint {
  return bits & sign ? bits ^ all : bits | sign;
}

function numberOf(key: bigint): number {
  const bits = key & sign ? key ^ sign : key ^ all;
  return new Float64Array(BigUint64Array.of(bits).buffer)[0]!;
}
