import { join } from 'node:path';
import type { TypedArray } from '../../ir/tensor.js';
import type { SplitName } from '../dataset.js';
import { nothingIn } from '../split.js';
import { Moments } from '../statistics.js';
import { firstNumber, lineWord } from './buckets.js';
import { ColumnFiles, type Layout } from './column-files.js';
import type { Ingested } from './ingest.js';
import { Spill } from './median.js';
import { startPlacing, type PlaceOptions } from './place.js';
import { Repeats } from './repeats.js';
import type { Goal } from './settle.js';

export const splitNames = ['train', 'validation', 'test'] as const;

/** What the train split says of a feature. */
export interface Facts {
  min: number;
  max: number;
  /** Numbers that are missing. */
  gaps: number;
  readonly moments: Moments;
  /** The numbers that there are, where their median or mean fills gaps. */
  readonly spill: Spill | undefined;
  /** Rows with each text, by its index. */
  readonly counts: Uint32Array;
}

export interface Encoded {
  /** Numbers in one column if there are any, then the texts, the target and the lines. */
  readonly layouts: readonly Layout[];
  readonly rows: Readonly<Record<SplitName, number>>;
  /** Of each feature. */
  readonly facts: readonly Facts[];
  readonly repeats: Repeats;
}

/** Writes the tables, split by split in the order of the keys, and measures the train split on the way. */
export function encode(
  { tallies, buckets }: Ingested,
  goal: Goal,
  options: PlaceOptions,
  folder: string,
  signal?: AbortSignal,
): Encoded {
  const features = tallies.slice(1);
  const facts = features.map((tally, index): Facts => {
    const isFilled = tally.type === 'number' && (tally.missing > 0 || tally.isNamed);
    return {
      min: Infinity,
      max: -Infinity,
      gaps: 0,
      moments: new Moments(),
      spill: isFilled ? new Spill(join(folder, `present-${index}`)) : undefined,
      counts: new Uint32Array(tally.texts.size),
    };
  });
  const numbers = features.flatMap(({ type }, index) => (type === 'number' ? [index] : []));
  const texts = features.flatMap(({ type }, index) => (type === 'category' ? [index] : []));
  const layouts: Layout[] = [
    ...(numbers.length > 0 ? [{ dtype: 'float32' as const, dims: [numbers.length] }] : []),
    ...texts.map((index): Layout => ({
      dtype: 'string',
      dims: [1],
      texts: [...features[index]!.texts.keys()],
    })),
    goal.labels ? { dtype: 'int64', dims: [] } : { dtype: 'float32', dims: [1] },
    { dtype: 'uint32', dims: [] },
  ];
  const place = startPlacing(buckets, options)();
  const repeats = new Repeats();
  const labels = goal.labels?.map((_, index) => BigInt(index));
  const files = Object.fromEntries(
    splitNames.map((name) => [name, new ColumnFiles(folder, name, layouts)]),
  ) as Record<SplitName, ColumnFiles>;

  let most = 0;
  let rooms: Record<string, TypedArray[]> = {};
  for (const sorted of buckets.read()) {
    signal?.throwIfAborted();
    const { rows, order, words, wordsEach, numbers: values, numbersEach } = sorted;
    if (rows > most) {
      most = rows;
      rooms = Object.fromEntries(splitNames.map((name) => [name, files[name].room(rows)]));
    }
    const counts: Record<SplitName, number> = { train: 0, validation: 0, test: 0 };
    place(sorted, (from, to, split) => {
      const room = rooms[split]!;
      for (let row = from; row < to; row++) {
        const record = order[row]!;
        const at = record * numbersEach + firstNumber;
        const line = words[record * wordsEach + lineWord]!;
        const goes = counts[split]++;
        if (split === 'train') measure(facts, values, at + 1);
        repeats.add(values, at + 1, features.length, line, split === 'train');
        let column = 0;
        if (numbers.length > 0) {
          const into = room[column++] as Float32Array;
          for (let index = 0; index < numbers.length; index++) {
            into[goes * numbers.length + index] = values[at + 1 + numbers[index]!]!;
          }
        }
        for (const index of texts) (room[column++] as Uint32Array)[goes] = values[at + 1 + index]!;
        if (labels) {
          const label = goal.classOf(values[at]!);
          goal.classes[label]!.rows += 1;
          (room[column++] as BigInt64Array)[goes] = labels[label]!;
        } else room[column++]![goes] = values[at]!;
        (room[column] as Uint32Array)[goes] = line;
      }
    });
    for (const name of splitNames) files[name].append(rooms[name]!, counts[name]);
  }
  for (const name of splitNames) if (files[name].rows === 0) throw nothingIn(name, options.path);
  const rows = { train: files.train.rows, validation: files.validation.rows, test: files.test.rows };
  return { layouts, rows, facts, repeats };
}

function measure(facts: readonly Facts[], values: Float64Array, at: number): void {
  for (let index = 0; index < facts.length; index++) {
    const value = values[at + index]!;
    const fact = facts[index]!;
    if (fact.counts.length > 0) fact.counts[value]! += 1;
    else if (value !== value) fact.gaps += 1;
    else {
      if (value < fact.min) fact.min = value;
      if (value > fact.max) fact.max = value;
      fact.moments.add(value);
      fact.spill?.add(value);
    }
  }
}
