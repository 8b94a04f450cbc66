import type { Split } from './config.js';
import type { SplitName } from './dataset.js';

/** What is to be divided: rows, in units that must not be torn apart. */
export interface Whole {
  readonly units: number;
  readonly rows: number;
}

/**
 * Deals units out as they come, given the rows of each: the first to test, the next to validation and the rest to train.
 * Each part gets at least one of three units, and as many as bring its number of rows nearest to its share.
 */
export function startDealing({ units, rows }: Whole, split: Split): (rows: number) => SplitName {
  const parts = [
    { name: 'test', wanted: Math.round(rows * split.test), after: 2 },
    { name: 'validation', wanted: Math.round(rows * split.validation), after: 1 },
  ] as const;
  let [dealt, part, taken] = [0, 0, 0];
  return (more) => {
    dealt += 1;
    while (part < parts.length) {
      const { name, wanted, after } = parts[part]!;
      const isNearer = Math.abs(taken + more - wanted) < Math.abs(taken - wanted);
      if (taken === 0 || (isNearer && dealt <= units - after)) {
        taken += more;
        return name;
      }
      part += 1;
      taken = 0;
    }
    return 'train';
  };
}
