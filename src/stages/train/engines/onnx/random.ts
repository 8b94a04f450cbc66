import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { randomStream } from '../../random.js';

/** The rows of an epoch in random order (Fisher–Yates). */
export function shuffledRows(rows: number, seed: number, epoch: number): Uint32Array {
  const random = randomStream(seed, 'shuffle', epoch);
  const order = Uint32Array.from({ length: rows }, (_, row) => row);
  for (let last = rows - 1; last > 0; last--) {
    const other = uniformInt(random, 0, last);
    const row = order[last]!;
    order[last] = order[other]!;
    order[other] = row;
  }
  return order;
}
