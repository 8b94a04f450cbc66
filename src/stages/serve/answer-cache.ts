import { createHash } from 'node:crypto';
import type { NdArray, TypedArray } from '../../ir/tensor.js';
import type { Feeds } from '../../runtime/session.js';
import type { Outputs } from './batcher.js';

export type CacheResult = 'hit' | 'miss' | 'shared';

interface Kept {
  readonly outputs: Outputs;
  readonly bytes: number;
}

/** What an answer takes beside its values. */
const overhead = 512;

/**
 * Answers by the digest of their inputs, those asked for longest ago given up first. Equal requests that are under way at
 * the same time share one run. An answer is kept whole or not at all, and errors never are.
 */
export class AnswerCache {
  readonly #maxBytes: number;
  readonly #onUse: (result: CacheResult) => void;
  /** The first was used longest ago. */
  readonly #kept = new Map<string, Kept>();
  readonly #underWay = new Map<string, Promise<Outputs>>();
  #bytes = 0;

  constructor({ maxBytes, onUse }: { maxBytes: number; onUse?: (result: CacheResult) => void }) {
    this.#maxBytes = maxBytes;
    this.#onUse = onUse ?? (() => undefined);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param alone Waits for no other request's run, and none for its. @throws what `run` throws */
  async find(inputs: Feeds, run: () => Promise<Outputs>, alone: boolean): Promise<Outputs> {
    const key = digestOf(inputs);
    const kept = this.#kept.get(key);
    if (kept) {
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      this.#onUse('hit');
      return kept.outputs;
    }
    const other = alone ? undefined : this.#underWay.get(key);
    if (other) {
      this.#onUse('shared');
      return other;
    }
    this.#onUse('miss');
    const answer = run();
    if (!alone) this.#underWay.set(key, answer);
    try {
      const outputs = await answer;
      this.#keep(key, outputs);
      return outputs;
    } finally {
      if (this.#underWay.get(key) === answer) this.#underWay.delete(key);
    }
  }

  #keep(key: string, outputs: Outputs): void {
    const bytes = Object.values(outputs).reduce((sum, array) => sum + sizeOf(array), overhead);
    if (bytes > this.#maxBytes || this.#kept.has(key)) return;
    // Answers are views of their whole batch: kept so, they would hold that.
    const copies = Object.entries(outputs).map(([name, array]): [string, NdArray] => [name, copy(array)]);
    this.#kept.set(key, { outputs: Object.fromEntries(copies), bytes });
    this.#bytes += bytes;
    for (const [oldest, { bytes: freed }] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#kept.delete(oldest);
      this.#bytes -= freed;
    }
  }
}

/** Names, types, shapes and values; each with its length, so that no two inputs read alike. */
function digestOf(inputs: Feeds): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(inputs).sort()) {
    const { dtype, dims, data } = inputs[name]!;
    hash.update(JSON.stringify([name, dtype, dims]));
    if (dtype === 'string') hash.update(JSON.stringify(data));
    else {
      const { buffer, byteOffset, byteLength } = data as TypedArray;
      hash.update(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength));
    }
  }
  return hash.digest('base64');
}

function sizeOf({ data }: NdArray): number {
  if (ArrayBuffer.isView(data)) return data.byteLength;
  return (data as readonly string[]).reduce((sum, text) => sum + 2 * text.length + 16, 0);
}

function copy(array: NdArray): NdArray {
  return { ...array, data: array.data.slice() };
}
