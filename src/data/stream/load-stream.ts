import { createHash } from 'node:crypto';
import { chooseFeatures, type Located } from '../columns.js';
import { cellType, declaredType, type CellType, type DataConfig } from '../config.js';
import type { Statistics } from '../dataset.js';
import { describeTexts, type ColumnSchema, type DataSchema } from '../describe-schema.js';
import { assembleSignature, numbersInput, type Observed } from '../describe-signature.js';
import { noTargets } from '../drop-rows.js';
import { leastRows, noteFindings } from '../inspect.js';
import { fillNumber, fillText, noteFills, type FillRule } from '../missing.js';
import type { Reader } from '../readers/index.js';
import { toStatistics } from '../statistics.js';
import { encode, type Encoded, type Facts } from './encode.js';
import { ingest, readHead, type Ingested } from './ingest.js';
import { checkTallies, correctTypes, settleTarget, type Goal } from './settle.js';
import type { Kept } from './shelf.js';
import type { Tally } from './tally.js';

/**
 * Rows of validation and test that are measured on, at most: the first in the order of hashes are as good as any, unless
 * time orders them.
 */
const mostHeld = 2 ** 20;

export interface StreamOptions {
  readonly config: DataConfig;
  readonly seed: number;
  /** Empty folder; the tables are written there. */
  readonly folder: string;
  /** Bytes of the source. */
  readonly bytes: number;
  readonly signal?: AbortSignal;
}

export interface Streamed {
  /** sha256 of the source's bytes, in hex. */
  readonly sha256: string;
  readonly kept: Kept;
}

/**
 * What `loadDataset` does in memory, for a source of any size: goes through it, stores the rows on disk in the order of
 * their hashes, and writes each split as columns. The result is the same to the bit.
 */
export async function loadStream(reader: Reader, options: StreamOptions): Promise<Streamed> {
  const { config, folder, signal } = options;
  const { path } = reader;
  const { found, header, sha256 } = await ingestAll(reader, options);
  const table: Located = { path, header, locate: (row, column) => reader.locate(row, column) };
  if (found.rows === 0) throw noTargets([config.target], path);
  await checkTallies(table, found, config);
  const goal = settleTarget(found.tallies[0]!, config, path);
  if (found.badUnit) throw found.badUnit;

  const whole = goal.labels === undefined || config.split.group !== undefined;
  const encoded = encode(
    found,
    goal,
    {
      split: config.split,
      path,
      target: goal,
      stratumOf: whole ? () => 0 : goal.classOf,
      strata: whole ? 1 : goal.labels.length,
      moments: found.moments,
    },
    folder,
    signal,
  );
  const features = found.tallies.slice(1);
  const fills = features.map((tally, index) => fillOf(tally, encoded.facts[index]!));
  return { sha256, kept: describe(header, found, goal, encoded, fills, config) };
}

/** Once if the first rows tell what the columns hold, else once more. */
async function ingestAll(
  reader: Reader,
  { config, seed, folder, bytes, signal }: StreamOptions,
): Promise<{ found: Ingested; header: readonly string[]; sha256: string }> {
  const { path } = reader;
  const head = await readHead(reader, config, signal);
  const { header } = head;
  const table: Located = { path, header, locate: (row, column) => reader.locate(row, column) };
  const names = [config.target, ...(await chooseFeatures(table, config))];
  let types = names.map(
    (name): CellType => cellType(config, name) ?? head.types[header.indexOf(name)] ?? 'number',
  );
  let { numericTime } = head;
  for (;;) {
    const hash = createHash('sha256');
    const columns = names.map((name, index) => ({ name, type: types[index]! }));
    const plan = { config, seed, header, columns, numericTime, folder, bytes };
    const found = await ingest(reader, plan, { hash, signal });
    const corrected = correctTypes(found, config);
    if (!corrected && found.numericTime === numericTime) return { found, header, sha256: hash.digest('hex') };
    types = corrected ?? types;
    numericTime = found.numericTime;
  }
}

function fillOf({ type, rule, texts }: Tally, { spill, counts }: Facts): number | string {
  // Errors were thrown before.
  const settled = rule as FillRule;
  if (type === 'number') {
    const { count, sum } = spill ?? { count: 0, sum: 0 };
    return fillNumber(settled, { count, sum, median: () => spill!.median() });
  }
  return fillText(
    settled,
    () =>
      new Map(
        [...texts.keys()].map((text, index) => [text, counts[index]!] as const).filter(([, n]) => n > 0),
      ),
  );
}

function describe(
  header: readonly string[],
  { tallies, relations, rows, dropped }: Ingested,
  goal: Goal,
  { layouts, rows: splits, facts, repeats }: Encoded,
  fills: readonly (number | string)[],
  config: DataConfig,
): Kept {
  const features = tallies.slice(1);
  const filled = features.map((tally, index) => ({ ...factsOf(tally), fill: fills[index]! }));
  const numbers = features.flatMap(({ type }, index) => (type === 'number' ? [index] : []));
  for (const index of numbers) facts[index]!.moments.addMany(Number(fills[index]), facts[index]!.gaps);
  const statistics: Record<string, Statistics> =
    numbers.length > 0 ? { [numbersInput]: toStatistics(numbers.map((index) => facts[index]!.moments)) } : {};
  const isCopy = (index: number): boolean =>
    goal.labels
      ? relations[index]!.isRenamed(goal.labels.length)
      : features[index]!.type === 'number' && Math.abs(relations[index]!.correlation) > 1 - 1e-9;
  const most = Math.max(splits.validation, splits.test);
  const isSampled = config.split.time === undefined && most > mostHeld;
  const notes = [
    ...(isSampled ? [`measures on ${mostHeld} of ${most} held-out rows, chosen by chance`] : []),
    ...(dropped > 0 ? [`left out ${dropped} rows without a value for ${config.target}`] : []),
    ...noteFills(filled.filter(({ missing }) => missing > 0)),
    ...noteFindings({
      constant: features.filter(isConstant).map(({ name }) => name),
      target: goal.name,
      copies: rows < leastRows ? [] : features.filter((_, index) => isCopy(index)).map(({ name }) => name),
      unseen: features.flatMap((tally, index) =>
        // Of words, each text may be new.
        declaredType(config, tally.name) === 'text'
          ? []
          : [{ name: tally.name, texts: unseenTexts(tally, facts[index]!) }],
      ),
      repeats: repeats.lines(),
      share: repeats.share,
      classes: goal.classes,
    }),
  ];
  const observed = features.map((tally, index) => observe(tally, facts[index]!, fills[index]!));
  const signature = assembleSignature(observed, goal, '', '');
  const byName = new Map(tallies.map((tally) => [tally.name, tally]));
  const schema: DataSchema = {
    schemaVersion: 1,
    rows,
    splits,
    columns: header.map((name): ColumnSchema => {
      const tally = byName.get(name);
      const role = name === goal.name ? 'target' : 'feature';
      return tally ? describeColumn(tally, role, rows) : { name, role: 'excluded' };
    }),
  };
  return { layouts, rows: splits, ...(isSampled && { mostHeld }), signature, statistics, schema, notes };
}

function factsOf({ name, type, missing, written, rule }: Tally) {
  return { name, type, missing, written: [...written].sort(), rule: rule as FillRule };
}

/** Texts that no row of the train split has, and that stand for a value. */
function unseenTexts({ texts, written }: Tally, { counts }: Facts): string[] {
  return [...texts.keys()].filter((text, index) => counts[index] === 0 && !written.has(text)).sort();
}

function isConstant({ type, texts, distinct }: Tally): boolean {
  return type === 'category' ? texts.size === 1 : distinct?.size === 1;
}

/** What describe-signature.ts says of a column in memory. */
function observe(tally: Tally, fact: Facts, fill: number | string): Observed {
  const { name, type, missing, written } = factsOf(tally);
  const gap = missing > 0 || tally.isNamed ? { missing: { fill, written } } : {};
  if (type === 'number') {
    const { min, max } = fact;
    return { name, type, ...(min <= max && { min, max }), ...gap };
  }
  const seen = [...tally.texts.keys()].filter((_, index) => fact.counts[index]! > 0);
  const categories = seen.map((text) => (gap.missing && written.includes(text) ? String(fill) : text));
  return { name, type, categories: [...new Set(categories)].sort(), ...gap };
}

function describeColumn(tally: Tally, role: 'target' | 'feature', rows: number): ColumnSchema {
  const { name, type, missing, written } = factsOf(tally);
  const facts = { name, role, type, missing, ...(missing > 0 && { written }) };
  if (type === 'category') {
    const counts = new Map([...tally.texts].map(([text, entry]) => [text, entry.rows]));
    return { ...facts, ...describeTexts(counts, written) };
  }
  const { distinct, min, max, sum } = tally;
  const different = distinct && { distinct: distinct.size - (missing > 0 ? 1 : 0) };
  return { ...facts, ...different, min, max, mean: sum / (rows - missing) };
}
