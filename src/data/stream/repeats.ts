import { NumberSet } from './number-set.js';

/** Rows that are remembered, at most; of more, a share is looked at that their content decides. */
const mostKept = 2 ** 20;

/** Looks for held-out rows with the same features as a training row, in bounded memory. */
export class Repeats {
  /** One number, and its two words. */
  readonly #number = new Float64Array(1);
  readonly #words = new Uint32Array(this.#number.buffer);
  #trained = new NumberSet();
  /** Key and line, one behind the other. */
  #held: number[] = [];
  /** One in so many keys is looked at. */
  share = 1;

  /** @param values Of the features, one behind the other from `at` on. */
  add(values: Float64Array, at: number, width: number, line: number, isTraining: boolean): void {
    const key = this.#keyOf(values, at, width);
    if (key % this.share !== 0) return;
    if (isTraining) this.#trained.add(key);
    else this.#held.push(key, line);
    while (this.#trained.size + this.#held.length / 2 > mostKept) this.#halve();
  }

  #halve(): void {
    this.share *= 2;
    const trained = new NumberSet();
    for (const key of this.#trained) if (key % this.share === 0) trained.add(key);
    this.#trained = trained;
    const held = this.#held;
    this.#held = held.filter((_, at) => held[at - (at % 2)]! % this.share === 0);
  }

  /** 53 bits of a hash: both words of each number mixed as MurmurHash3 mixes them, each into one half. */
  #keyOf(values: Float64Array, at: number, width: number): number {
    const number = this.#number;
    const words = this.#words;
    let [low, high] = [0x9747b28c, 0x3c6ef372];
    for (let index = 0; index < width; index++) {
      const value = values[at + index]!;
      // Zero has two signs, and NaN many forms.
      number[0] = value === 0 ? 0 : value === value ? value : NaN;
      const [first, second] = [words[0]!, words[1]!];
      low = mix(low + high, first);
      high = mix(high + low, second);
    }
    low = finish(low + high);
    return (finish(high + low) & 0x1fffff) * 2 ** 32 + low;
  }

  /** Lines of the held-out rows that were found. */
  lines(): number[] {
    const held = this.#held;
    return held.filter((_, at) => at % 2 === 1 && this.#trained.has(held[at - 1]!));
  }
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(hash: number): number {
  let h = hash | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
