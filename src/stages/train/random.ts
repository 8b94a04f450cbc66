import { createHash } from 'node:crypto';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';

/**
 * The n-th stream of random numbers for a purpose. It depends on nothing but its name, so a training that is taken up
 * again has the same numbers without any generator's state having been kept.
 */
export function randomStream(seed: number, purpose: string, n: number): RandomGenerator {
  const digest = createHash('sha256').update(`${seed}/${purpose}/${n}`).digest();
  return xoroshiro128plusFromState([0, 4, 8, 12].map((offset) => digest.readInt32LE(offset)));
}
