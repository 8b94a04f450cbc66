import { uniformInt } from 'pure-rand/distribution/uniformInt';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import { randomStream } from '../../random.js';

/** The rows of an epoch in random order (Fisher–Yates). */
export function shuffledRows(rows: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: rows }, (_, row) => row);
  return shuffle(order, randomStream(seed, 'shuffle', epoch));
}

/** Puts the rows in random order, in place. */
export function shuffle(order: Uint32Array, random: RandomGenerator): Uint32Array {
  for (let last = order.length - 1; last > 0; last--) {
    const other = uniformInt(random, 0, last);
    const row = order[last]!;
    order[last] = order[other]!;
    order[other] = row;
  }
  return order;
}
