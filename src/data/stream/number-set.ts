/** A set of numbers by open addressing: a `Set` keeps each fraction as an object of its own. −0 counts as 0. */
export class NumberSet implements Iterable<number> {
  size = 0;
  #hasNaN = false;
  /** NaN where there is nothing. */
  #slots = new Float64Array(64).fill(NaN);
  readonly #number = new Float64Array(1);
  readonly #words = new Uint32Array(this.#number.buffer);

  /** True when the number was not there before. */
  add(value: number): boolean {
    if (value !== value) {
      if (this.#hasNaN) return false;
      this.#hasNaN = true;
      this.size += 1;
      return true;
    }
    const slot = this.#find(value);
    if (this.#slots[slot] === value) return false;
    this.#slots[slot] = value + 0;
    this.size += 1;
    if (2 * this.size > this.#slots.length) this.#grow();
    return true;
  }

  has(value: number): boolean {
    return value === value ? this.#slots[this.#find(value)] === value : this.#hasNaN;
  }

  *[Symbol.iterator](): Generator<number> {
    if (this.#hasNaN) yield NaN;
    for (const value of this.#slots) if (value === value) yield value;
  }

  /** The slot that has the number, or the empty one where it belongs. */
  #find(value: number): number {
    const slots = this.#slots;
    // Zero has two signs.
    this.#number[0] = value + 0;
    let hash = Math.imul(this.#words[0]! ^ Math.imul(this.#words[1]!, 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & (slots.length - 1); ; slot = (slot + 1) & (slots.length - 1)) {
      const found = slots[slot]!;
      if (found === value || found !== found) return slot;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Float64Array(old.length * 4).fill(NaN);
    for (const value of old) if (value === value) this.#slots[this.#find(value)] = value;
  }
}
