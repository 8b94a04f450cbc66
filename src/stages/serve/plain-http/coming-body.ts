import type { BodyPool } from './body-pool.js';

/** The body of a request while it comes in. */
export class ComingBody {
  readonly #pool: BodyPool;
  readonly #length: number;
  /** Where all of it goes; small ones, and those that nothing is set aside for, are put together at the end. */
  readonly #memory: Buffer | undefined;
  readonly #chunks: Buffer[] = [];
  #have = 0;

  constructor(pool: BodyPool, length: number) {
    this.#pool = pool;
    this.#length = length;
    this.#memory = pool.setAside(length);
  }

  /** In bytes. */
  get missing(): number {
    return this.#length - this.#have;
  }

  /** Memory that what is missing may be read into, if there is any. */
  get room(): Buffer | undefined {
    return this.#memory?.subarray(this.#have);
  }

  /** At most what is missing. */
  add(chunk: Buffer): void {
    if (this.#memory) this.#memory.set(chunk, this.#have);
    // Memory that bytes land in is used again.
    else this.#chunks.push(Buffer.from(chunk));
    this.#have += chunk.length;
  }

  /** So many bytes have come into its room. */
  advance(length: number): void {
    this.#have += length;
  }

  /** All of it, to be given back to the pool. */
  finish(): Buffer {
    const body = this.#memory ?? this.#pool.take(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      body.set(chunk, at);
      at += chunk.length;
    }
    return body;
  }

  /** Nobody wants it any more. */
  drop(): void {
    if (this.#memory) this.#pool.give(this.#memory);
  }
}
