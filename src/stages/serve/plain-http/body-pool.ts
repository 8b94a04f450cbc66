import type { Feeds } from '../../../runtime/session.js';

/** Least memory of a body. In bytes. */
const smallest = 2 ** 10;

/** From here on it is worth while to set memory aside before a body is there. In bytes. */
const large = 2 ** 17;

/** What may lie here unused. In bytes. */
const defaultMost = 2 ** 26;

/** What may be set aside for bodies that are not there yet: a caller may declare one and send nothing. In bytes. */
const mostAside = 2 ** 28;

/**
 * Memory for bodies, used again and again: with fresh memory for each, V8 would collect garbage without end, for it counts
 * what lies outside of its heap as well. Sizes are powers of two.
 */
export class BodyPool {
  readonly #most: number;
  /** By size. */
  readonly #free = new Map<number, ArrayBuffer[]>();
  #bytes = 0;
  /** Memory that is in use: for how many runs, and whether it was given back meanwhile. */
  readonly #taken = new Map<unknown, { runs: number; given: boolean }>();
  #takenBytes = 0;

  constructor(most = defaultMost) {
    this.#most = most;
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** So many bytes with anything in them. Their end lies on a multiple of eight, for numbers there to be read in place. */
  take(length: number): Buffer {
    const padding = (8 - (length % 8)) % 8;
    const memory = this.#find(padding + length);
    this.#taken.set(memory, { runs: 0, given: false });
    this.#takenBytes += memory.byteLength;
    return Buffer.from(memory, padding, length);
  }

  /** Memory for a large body before it is there; undefined for others, and where much is in use already. */
  setAside(length: number): Buffer | undefined {
    return length < large || this.#takenBytes + length > mostAside ? undefined : this.take(length);
  }

  /** Gives back what was taken, to be written over once no run reads it any more. */
  give({ buffer }: Buffer): void {
    const use = this.#taken.get(buffer);
    if (!use) return;
    use.given = true;
    if (use.runs === 0) this.#keep(buffer as ArrayBuffer);
  }

  /** Runs on arrays, which may lie in memory from here. */
  during<T>(arrays: Feeds, run: () => Promise<T>): Promise<T> {
    let used: ArrayBufferLike[] | undefined;
    for (const name in arrays) {
      const { data } = arrays[name]!;
      if (ArrayBuffer.isView(data) && this.#taken.has(data.buffer)) (used ??= []).push(data.buffer);
    }
    return used ? this.#hold(used, run) : run();
  }

  async #hold<T>(used: readonly ArrayBufferLike[], run: () => Promise<T>): Promise<T> {
    for (const buffer of used) this.#taken.get(buffer)!.runs++;
    try {
      return await run();
    } finally {
      for (const buffer of used) {
        const use = this.#taken.get(buffer)!;
        if (--use.runs === 0 && use.given) this.#keep(buffer as ArrayBuffer);
      }
    }
  }

  #keep(memory: ArrayBuffer): void {
    const { byteLength } = memory;
    this.#taken.delete(memory);
    this.#takenBytes -= byteLength;
    if (this.#bytes + byteLength > this.#most) return;
    const free = this.#free.get(byteLength);
    if (free) free.push(memory);
    else this.#free.set(byteLength, [memory]);
    this.#bytes += byteLength;
  }

  #find(length: number): ArrayBuffer {
    const size = Math.max(smallest, 2 ** Math.ceil(Math.log2(length)));
    const memory = this.#free.get(size)?.pop();
    if (!memory) return Buffer.allocUnsafeSlow(size).buffer;
    this.#bytes -= size;
    return memory;
  }
}
