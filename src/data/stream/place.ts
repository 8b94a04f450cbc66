import type { Split } from '../config.js';
import type { SplitName } from '../dataset.js';
import { startDealing, type Whole } from '../deal.js';
import { tooFewRows, tooFewValues } from '../split.js';
import { placeAt } from '../split-units.js';
import { firstNumber, type Buckets, type Sorted } from './buckets.js';
import type { Moment } from './ingest.js';
import { numberOfKey } from './row-key.js';

/** Is called with the rows of a bucket from `from` to before `to`, which must not be torn apart, and where they go. */
export type OnRun = (from: number, to: number, split: SplitName) => void;

export interface PlaceOptions {
  readonly split: Split;
  readonly path: string;
  /** The target, for error messages. */
  readonly target: { readonly name: string; readonly labels?: readonly string[] };
  /** Stratum of a stored target. */
  readonly stratumOf: (target: number) => number;
  readonly strata: number;
  readonly moments: ReadonlyMap<number, Moment>;
}

/** Says of each run of rows where it goes, in the order of the keys; split.ts says the same of rows in memory. */
export function startPlacing(
  buckets: Buckets,
  options: PlaceOptions,
): () => (sorted: Sorted, onRun: OnRun) => void {
  const { split, path, target, stratumOf } = options;
  if (split.time !== undefined) return placeMoments(options, split.time);
  const wholes: Whole[] = count(buckets, options);
  const units = wholes.reduce((sum, whole) => sum + whole.units, 0);
  if (split.group !== undefined && units < 3) throw tooFewValues(split.group, units, path);
  if (split.by !== 'hash') {
    const few = wholes.findIndex((whole) => whole.units < 3);
    if (few !== -1) throw tooFewRows(target, few, wholes[few]!, path);
  }
  return () => {
    const dealers = wholes.map((whole) => startDealing(whole, split));
    return (sorted, onRun) => {
      const { words, wordsEach, order } = sorted;
      eachRun(sorted, (from, to) => {
        const key = order[from]! * wordsEach;
        const at = (words[key]! * 2 ** 16 + (words[key + 1]! >>> 16)) / 2 ** 48;
        const name =
          split.by === 'hash' ? placeAt(at, split) : dealers[stratumOf(targetOf(sorted, from))]!(to - from);
        onRun(from, to, name);
      });
    };
  };
}

function placeMoments(
  { moments, split, path }: PlaceOptions,
  column: string,
): () => (sorted: Sorted, onRun: OnRun) => void {
  if (moments.size < 3) throw tooFewValues(column, moments.size, path);
  const latest = [...moments.values()].sort((a, b) => b.time - a.time);
  const deal = startDealing(
    { units: latest.length, rows: latest.reduce((sum, { rows }) => sum + rows, 0) },
    split,
  );
  const places = new Map(latest.map(({ first, rows }) => [first, deal(rows)]));
  return () => (sorted, onRun) => {
    const { words, wordsEach, order } = sorted;
    eachRun(sorted, (from, to) => {
      onRun(from, to, places.get(numberOfKey(words, order[from]! * wordsEach))!);
    });
  };
}

/** The first number of a record is the target. */
function targetOf({ numbers, numbersEach, order }: Sorted, row: number): number {
  return numbers[order[row]! * numbersEach + firstNumber]!;
}

function count(buckets: Buckets, { strata, stratumOf }: PlaceOptions): Whole[] {
  const wholes = Array.from({ length: strata }, () => ({ units: 0, rows: 0 }));
  for (const sorted of buckets.read()) {
    eachRun(sorted, (from, to) => {
      const whole = wholes[stratumOf(targetOf(sorted, from))]!;
      whole.units += 1;
      whole.rows += to - from;
    });
  }
  return wholes;
}

/** Rows with the same key. */
function eachRun({ rows, words, wordsEach, order }: Sorted, onRun: (from: number, to: number) => void): void {
  for (let from = 0; from < rows;) {
    let to = from + 1;
    while (to < rows && isSame(words, order[from]! * wordsEach, order[to]! * wordsEach)) to += 1;
    onRun(from, to);
    from = to;
  }
}

function isSame(words: Uint32Array, a: number, b: number): boolean {
  return (
    words[a] === words[b] &&
    words[a + 1] === words[b + 1] &&
    words[a + 2] === words[b + 2] &&
    words[a + 3] === words[b + 3]
  );
}
