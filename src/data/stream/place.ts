import type { Split } from '../config.js';
import type { SplitName } from '../dataset.js';
import { startDealing, type Whole } from '../deal.js';
import { tooFewRows, tooFewValues } from '../split.js';
import { placeAt } from '../split-units.js';
import type { Buckets, Sorted } from './buckets.js';
import type { Moment } from './ingest.js';
import { numberOfKey } from './row-key.js';

/** Rows of a bucket with the same key, which must not be torn apart. */
export interface Run {
  readonly from: number;
  readonly to: number;
  readonly split: SplitName;
}

export interface PlaceOptions {
  readonly split: Split;
  readonly path: string;
  /** The target, for error messages. */
  readonly target: { readonly name: string; readonly labels?: readonly string[] };
  /** Stratum of a stored target. */
  readonly stratumOf: (target: number) => number;
  readonly strata: number;
  readonly moments: ReadonlyMap<number, Moment>;
  /** Numbers of a record; the first is the target. */
  readonly width: number;
}

/** Says of each run of rows where it goes, in the order of the keys; split.ts says the same of rows in memory. */
export function startPlacing(
  buckets: Buckets,
  options: PlaceOptions,
): () => (sorted: Sorted) => Generator<Run> {
  const { split, path, target, stratumOf, width } = options;
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
    return function* ({ rows, keys, values }) {
      for (const { from, to } of runsOf(keys, rows)) {
        const at = (keys[from * 4]! * 2 ** 16 + (keys[from * 4 + 1]! >>> 16)) / 2 ** 48;
        const name =
          split.by === 'hash' ? placeAt(at, split) : dealers[stratumOf(values[from * width]!)]!(to - from);
        yield { from, to, split: name };
      }
    };
  };
}

function placeMoments(
  { moments, split, path }: PlaceOptions,
  column: string,
): () => (sorted: Sorted) => Generator<Run> {
  if (moments.size < 3) throw tooFewValues(column, moments.size, path);
  const latest = [...moments.values()].sort((a, b) => b.time - a.time);
  const deal = startDealing(
    { units: latest.length, rows: latest.reduce((sum, { rows }) => sum + rows, 0) },
    split,
  );
  const places = new Map(latest.map(({ first, rows }) => [first, deal(rows)]));
  return () =>
    function* ({ rows, keys }) {
      for (const { from, to } of runsOf(keys, rows)) {
        yield { from, to, split: places.get(numberOfKey(keys, from * 4))! };
      }
    };
}

function count(buckets: Buckets, { strata, stratumOf, width }: PlaceOptions): Whole[] {
  const wholes = Array.from({ length: strata }, () => ({ units: 0, rows: 0 }));
  for (const { rows, keys, values } of buckets.read()) {
    for (const { from, to } of runsOf(keys, rows)) {
      const whole = wholes[stratumOf(values[from * width]!)]!;
      whole.units += 1;
      whole.rows += to - from;
    }
  }
  return wholes;
}

function* runsOf(keys: Uint32Array, rows: number): Generator<{ readonly from: number; readonly to: number }> {
  for (let from = 0; from < rows;) {
    let to = from + 1;
    while (to < rows && isSame(keys, from * 4, to * 4)) to += 1;
    yield { from, to };
    from = to;
  }
}

function isSame(keys: Uint32Array, a: number, b: number): boolean {
  return (
    keys[a] === keys[b] &&
    keys[a + 1] === keys[b + 1] &&
    keys[a + 2] === keys[b + 2] &&
    keys[a + 3] === keys[b + 3]
  );
}
