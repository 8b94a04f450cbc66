import { endianness } from 'node:os';
import { scanCode } from './scan.generated.js';

/** What is used of the global that Node has: TypeScript knows it as a part of browsers only. */
interface WebAssemblyGlobal {
  readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Readonly<Record<string, object>>,
  ) => {
    readonly exports: {
      readonly scan: (at: number, into: number, room: number) => number;
      readonly count: { readonly value: number };
      readonly left: { readonly value: number };
    };
  };
}

/** Bytes of text that are in its memory at once, and in front of them the powers of ten and the table of `scan.wat`. */
const [window, textStart] = [65_536, 216];
/** Zeros behind the text: what is read there at once. */
const padding = 128;
const intoStart = textStart + window + padding;
/** Two bytes of text or more are a number. */
const room = window / 2;
const page = 65_536;

const comma = 0x2c;

/** Reads the numbers of one list after another, in WebAssembly: `scan.wat`. */
export class NumberScanner {
  readonly #exports;
  readonly #text: Uint8Array;
  readonly #values: Float32Array;
  #bytes: Buffer | undefined;
  #from = 0;
  #until = 0;

  constructor() {
    const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyGlobal })
      .WebAssembly;
    const memory = new Memory({ initial: Math.ceil((intoStart + 4 * room) / page) });
    const module = new Module(Buffer.from(scanCode, 'base64'));
    this.#exports = new Instance(module, { host: { memory } }).exports;
    new Float64Array(memory.buffer, 0, 23).set(Array.from({ length: 23 }, (_, power) => 10 ** power));
    this.#text = new Uint8Array(memory.buffer, textStart, window + padding);
    this.#values = new Float32Array(memory.buffer, intoStart, room);
  }

  /**
   * @param at Where a number should begin.
   * @returns Finite numbers in single precision, to be copied at once, and where it stopped: behind a number at anything but
   * a comma with a number behind it that it has read, or, `left`, at one that takes more than it can do, or is none.
   */
  scan(bytes: Buffer, at: number): { values: Float32Array; at: number; left: boolean } {
    if (bytes !== this.#bytes || at < this.#from || at >= this.#until) this.#show(bytes, at);
    const { scan, count, left } = this.#exports;
    const end = scan(textStart + at - this.#from, intoStart, room) - textStart + this.#from;
    return { values: this.#values.subarray(0, count.value), at: end, left: left.value === 1 };
  }

  /** Lets go of the text. */
  reset(): void {
    this.#bytes = undefined;
  }

  /** The text from here on, up to a comma, so that no number is cut. */
  #show(bytes: Buffer, at: number): void {
    let end = Math.min(bytes.length, at + window);
    if (end < bytes.length) {
      const cut = bytes.lastIndexOf(comma, end - 1);
      if (cut > at) end = cut;
    }
    this.#text.set(bytes.subarray(at, end));
    this.#text.fill(0, end - at, end - at + padding);
    [this.#bytes, this.#from, this.#until] = [bytes, at, end];
  }
}

/**
 * Made for the first list that is long enough; one, since it keeps nothing from one list to the next. None where the
 * processor has no vectors of 16 bytes.
 */
export function lazyScanner(): () => NumberScanner | undefined {
  let scanner: NumberScanner | undefined;
  let tried = false;
  return () => {
    if (tried) return scanner;
    tried = true;
    try {
      if (endianness() === 'LE') scanner = new NumberScanner();
    } catch (error) {
      if ((error as Error).name !== 'CompileError') throw error;
    }
    return scanner;
  };
}
