/** Texts as UTF-8, each with the number of those that came before it: finds one without making a string of it. */
export class TextIndex {
  #count = 0;
  /** Bytes of all texts, one behind the other, and where each ends. */
  #bytes = Buffer.alloc(1 << 10);
  #ends = new Uint32Array(64);
  /** Open addressing: hash and index + 1 of a text; 0 where there is nothing. */
  #slots = new Uint32Array(256);

  /** The index of the text that `bytes` has from `from` to `to`, or −1. */
  find(bytes: Uint8Array, from: number, to: number): number {
    const hash = hashOf(bytes, from, to);
    const slots = this.#slots;
    const mask = slots.length - 2;
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const found = slots[at + 1]!;
      if (found === 0) return -1;
      if (slots[at] === hash && this.#equals(found - 1, bytes, from, to)) return found - 1;
    }
  }

  /** Appends a text that is not there yet. */
  add(bytes: Uint8Array, from: number, to: number): void {
    const begin = this.#endOf(this.#count - 1);
    const end = begin + to - from;
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], 2 * end);
    this.#bytes.set(bytes.subarray(from, to), begin);
    if (this.#count === this.#ends.length) {
      const larger = new Uint32Array(2 * this.#ends.length);
      larger.set(this.#ends);
      this.#ends = larger;
    }
    this.#ends[this.#count++] = end;
    this.#place(hashOf(bytes, from, to), this.#count);
    if (4 * this.#count > this.#slots.length) this.#grow();
  }

  #endOf(index: number): number {
    return index < 0 ? 0 : this.#ends[index]!;
  }

  #equals(index: number, bytes: Uint8Array, from: number, to: number): boolean {
    const own = this.#bytes;
    let at = this.#endOf(index - 1);
    if (this.#endOf(index) - at !== to - from) return false;
    for (let place = from; place < to; place++, at++) if (own[at] !== bytes[place]) return false;
    return true;
  }

  #place(hash: number, entry: number): void {
    const slots = this.#slots;
    const mask = slots.length - 2;
    let at = (hash << 1) & mask;
    while (slots[at + 1] !== 0) at = (at + 2) & mask;
    slots[at] = hash;
    slots[at + 1] = entry;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(4 * old.length);
    for (let at = 0; at < old.length; at += 2) if (old[at + 1] !== 0) this.#place(old[at]!, old[at + 1]!);
  }
}

/** FNV-1a, and the last step of MurmurHash3. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
