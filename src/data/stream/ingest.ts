import type { Hash } from 'node:crypto';
import { isMissingText, kindOf } from '../cells.js';
import { guessType } from '../columns.js';
import type { CellType, DataConfig } from '../config.js';
import { startHashing } from '../content-hash.js';
import { noRows, type Fields, type Reader } from '../readers/index.js';
import { incompleteUnit, momentOf, noDate } from '../split-units.js';
import { Buckets } from './buckets.js';
import { Relation } from './relation.js';
import { writeNumber } from './row-key.js';
import { dropTest, mostTexts, Tally } from './tally.js';
import { MaasError } from '../../errors.js';

/** Rows at the beginning of a source that say what its columns hold, until all have been seen. */
const headRows = 1000;
/** Different numbers that are told apart, over all columns. */
const mostNumbers = 2 ** 20;

/** The beginning of a source. */
export interface Head {
  readonly header: readonly string[];
  /** What the first rows say of each column. */
  readonly types: readonly (CellType | undefined)[];
  /** Whether the column to split by in time holds numbers. */
  readonly numericTime: boolean;
}

export async function readHead(reader: Reader, config: DataConfig, signal?: AbortSignal): Promise<Head> {
  let header: readonly string[] = [];
  const rows: string[][] = [];
  await reader.scan(
    {
      header: (names) => (header = names),
      row: (fields) => rows.push(fields.texts()) === headRows,
    },
    { signal },
  );
  const time = config.split.time === undefined ? -1 : header.indexOf(config.split.time);
  return {
    header,
    types: header.map((_, index) => guessType(rows.map((cells) => cells[index]!))),
    numericTime: rows.every((cells) => kindOf(cells[time] ?? '0') === 'number'),
  };
}

export interface IngestPlan {
  readonly config: DataConfig;
  readonly seed: number;
  readonly header: readonly string[];
  /** The target, then the features, with the types that they are taken for. */
  readonly columns: readonly { readonly name: string; readonly type: CellType }[];
  readonly numericTime: boolean;
  /** Empty; for what is written on the way. */
  readonly folder: string;
  /** Bytes of the source, roughly. */
  readonly bytes: number;
}

/** Rows of one moment. */
export interface Moment {
  readonly time: number;
  readonly first: number;
  rows: number;
}

export interface Ingested {
  /** The target, then the features. */
  readonly tallies: readonly Tally[];
  /** Of each feature to the target. */
  readonly relations: readonly Relation[];
  readonly buckets: Buckets;
  readonly rows: number;
  readonly dropped: number;
  /** Row of the source that is the first kept. */
  readonly first: number;
  /** With a split by time, by the moment. */
  readonly moments: ReadonlyMap<number, Moment>;
  /** False when the moments are no numbers after all. */
  readonly numericTime: boolean;
  /** The first row whose cell to group or to split by is missing or no date. */
  readonly badUnit: MaasError | undefined;
}

/** Goes through a source once: finds out what its columns hold, and stores the rows under their keys. */
export async function ingest(
  reader: Reader,
  plan: IngestPlan,
  options: { readonly hash?: Hash; readonly signal?: AbortSignal },
): Promise<Ingested> {
  const { config, header, columns, seed } = plan;
  const { path } = reader;
  const { group, time } = config.split;
  const bound = Math.max(1000, Math.floor(mostNumbers / columns.length));
  const tallies = columns.map(
    ({ name, type }) => new Tally(name, type, { config, path, mostNumbers: bound }),
  );
  const places = columns.map(({ name }) => header.indexOf(name));
  const relations = columns.slice(1).map(() => new Relation(columns[0]!.type === 'number'));
  const spread = time === undefined ? (word: number) => word / 2 ** 32 : spreadDigits;
  const buckets = new Buckets(plan.folder, plan.bytes * 1.5, columns.length, spread);
  const hashFields = startHashing(seed);
  const key = new Uint32Array(4);
  const keyed = group === undefined ? header.map((_, index) => index) : [header.indexOf(group)];
  const clock = time === undefined ? -1 : header.indexOf(time);
  const moments = new Map<number, Moment>();
  const isDropped = dropTest(config);
  const values = new Float64Array(columns.length);
  let [seen, rows, first] = [0, 0, -1];
  let numericTime = plan.numericTime;
  let badUnit: MaasError | undefined;

  const makeKey = (fields: Fields): void => {
    if (group !== undefined && isMissingText(fields.text(keyed[0]!)))
      badUnit ??= incompleteUnit(path, group, 'group', fields.line);
    if (time === undefined) {
      hashFields(fields, keyed, key);
      return;
    }
    const cell = fields.text(clock);
    if (isMissingText(cell)) badUnit ??= incompleteUnit(path, time, 'time', fields.line);
    else if (numericTime && kindOf(cell) !== 'number') numericTime = false;
    const moment = momentOf(cell, plan.numericTime);
    if (Number.isNaN(moment)) badUnit ??= noDate(path, time, cell, fields.line);
    let found = moments.get(moment);
    if (!found) {
      if (moments.size === mostTexts) throw tooManyMoments(path, time);
      moments.set(moment, (found = { time: moment, first: rows, rows: 0 }));
    }
    found.rows += 1;
    writeNumber(found.first, key);
  };

  await reader.scan(
    {
      header: () => undefined,
      row(fields) {
        const row = seen++;
        if (isDropped?.(fields.text(places[0]!))) return undefined;
        if (first === -1) first = row;
        for (let index = 0; index < places.length; index++) {
          values[index] = tallies[index]!.take(fields, places[index]!, row);
        }
        for (let index = 1; index < values.length; index++)
          relations[index - 1]!.add(values[index]!, values[0]!);
        makeKey(fields);
        buckets.add(key, rows++, fields.line, values);
        return undefined;
      },
    },
    options,
  );
  if (seen === 0) throw noRows(path);
  return {
    tallies,
    relations,
    buckets,
    rows,
    dropped: seen - rows,
    first,
    moments,
    numericTime,
    badUnit,
  };
}

/** Keys of moments begin with decimal digits. */
function spreadDigits(word: number): number {
  let place = 0;
  for (let shift = 24; shift >= 0; shift -= 8) {
    place = place * 10 + Math.max(0, ((word >>> shift) & 0xff) - 0x30);
  }
  return place / 10_000;
}

function tooManyMoments(path: string, column: string): MaasError {
  return new MaasError('MAAS_DATA_SPLIT', `column "${column}" has more than ${mostTexts} different moments`, {
    place: { file: path },
    hint: 'Split by a coarser column, such as the day, or raise data.memory.',
  });
}
