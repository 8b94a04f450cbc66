/** Smaller bodies are not worth it. In bytes. */
const smallest = 2 ** 17;

/** What may lie here unused. In bytes. */
const defaultMost = 2 ** 26;

/**
 * Memory for large bodies, used again and again: with fresh memory for each, V8 would collect garbage without end, for it
 * counts what lies outside of its heap as well. Sizes are powers of two.
 */
export class BodyPool {
  readonly #most: number;
  readonly #free: ArrayBuffer[] = [];
  #bytes = 0;

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
    return Buffer.from(memory, padding, length);
  }

  /** Gives back what was taken, to be written over from now on. */
  give({ buffer }: Buffer): void {
    const { byteLength } = buffer;
    if (byteLength < smallest || this.#bytes + byteLength > this.#most) return;
    this.#free.push(buffer as ArrayBuffer);
    this.#bytes += byteLength;
  }

  #find(length: number): ArrayBuffer {
    if (length < smallest) return Buffer.allocUnsafeSlow(length).buffer;
    const size = 2 ** Math.ceil(Math.log2(length));
    const at = this.#free.findLastIndex(({ byteLength }) => byteLength === size);
    if (at < 0) return Buffer.allocUnsafeSlow(size).buffer;
    this.#bytes -= size;
    return this.#free.splice(at, 1)[0]!;
  }
}
