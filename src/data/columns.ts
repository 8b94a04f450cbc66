import { MaasError } from '../errors.js';
import { kindOf, whyMissing, whyNoNumber } from './cells.js';
import { cellType, targetsOf, type CellType, type DataConfig } from './config.js';
import { fillRuleOf, missingTest, type FillRule } from './missing.js';
import type { RawTable } from './readers/index.js';
import { didYouMean } from '../suggest.js';

interface ColumnFacts {
  readonly name: string;
  /** What is done about missing values. */
  readonly rule: FillRule;
  /** Whether the config names the column's rule, and means to fill. */
  readonly named: boolean;
  /** Rows without a value. */
  readonly missing: number;
  /** The ways in which the source writes a missing value in this column, sorted. */
  readonly written: readonly string[];
}

export interface NumberColumn extends ColumnFacts {
  readonly type: 'number';
  /** NaN where there is none. */
  readonly values: Float64Array;
}

export interface CategoryColumn extends ColumnFacts {
  readonly type: 'category';
  /** As the source writes them, so the ways to write a missing one are among them. */
  readonly values: readonly string[];
}

/** A column that the model uses, every cell of it checked. */
export type Column = NumberColumn | CategoryColumn;

export interface Columns {
  /** In the order of the source. */
  readonly features: readonly Column[];
  readonly target: Column;
  /** Further targets. */
  readonly others?: readonly Column[];
}

/** Names of the graph's own inputs and outputs. */
const reserved = ['features', 'label', 'probabilities', 'prediction'];

/**
 * Picks the columns that the config names, finds out their types and reads their cells.
 * @param arrays Columns that have several numbers a row and no cells.
 * @throws MaasError MAAS_DATA_COLUMN for names, MAAS_DATA_VALUE at the first cell that does not fit its column.
 */
export async function selectColumns(
  table: RawTable,
  config: DataConfig,
  arrays: readonly string[] = [],
): Promise<Columns> {
  const chosen = await chooseFeatures(table, config);
  const taken = arrays.find((name) => reserved.includes(name));
  if (taken !== undefined) throw await nameTaken(table, taken, 'an array');
  const names = chosen.filter((name) => !arrays.includes(name));
  const target =
    config.task === 'reconstruction'
      ? nothing(config.target, table.lines.length)
      : await readColumn(table, config.target, config);
  const others: Column[] = [];
  for (const { name } of config.others ?? []) others.push(await readColumn(table, name, config));
  const outputs = namesOfOutputs(config);
  const features: Column[] = [];
  for (const name of names) {
    if (outputs.has(name)) throw await nameTaken(table, name, 'a column');
    const column = await readColumn(table, name, config);
    if (column.type === 'category') {
      const distinct = new Set(column.values).size;
      await checkCategories(table, column, distinct, cellType(config, name) !== undefined);
    }
    features.push(column);
  }
  return { features, target, ...(others.length > 0 && { others }) };
}

/** Names of the outputs of several targets, whatever these are. */
function namesOfOutputs({ target, others = [] }: DataConfig): Set<string> {
  if (others.length === 0) return new Set();
  const parts = ['label', 'probabilities', 'prediction'];
  return new Set(
    [target, ...others.map(({ name }) => name)].flatMap((name) => parts.map((part) => `${name}.${part}`)),
  );
}

/** The error of a row that comes back as it was. */
function nothing(name: string, rows: number): NumberColumn {
  const facts = { name, rule: 'error' as const, named: false, missing: 0, written: [] };
  return { ...facts, type: 'number', values: new Float64Array(rows) };
}

/** What error messages need to know of a source. */
export type Located = Pick<RawTable, 'path' | 'header' | 'locate'>;

/**
 * Names of the features, in the order of the source.
 * @throws MaasError MAAS_DATA_COLUMN when the config names a column that is not there, or none is left.
 */
export async function chooseFeatures(table: Located, config: DataConfig): Promise<string[]> {
  await checkNames(table, config);
  await checkFilled(table, config);
  const excluded = new Set([
    ...targetsOf(config),
    config.split.group,
    config.split.time,
    ...(config.exclude ?? []),
  ]);
  const names = table.header.filter((name) => config.features?.includes(name) ?? !excluded.has(name));
  if (names.length === 0) {
    throw new MaasError(
      'MAAS_DATA_COLUMN',
      `no column is left to predict "${targetsOf(config).join('", "')}" from`,
      {
        place: { file: table.path },
        hint: 'Check data.features and data.exclude.',
      },
    );
  }
  return names;
}

async function checkNames(table: Located, config: DataConfig): Promise<void> {
  const isMadeUp = config.task === 'reconstruction';
  if (isMadeUp && table.header.includes(config.target)) {
    throw new MaasError(
      'MAAS_DATA_COLUMN',
      `data.target is what to call the error of a row, and there is a column "${config.target}"`,
      {
        place: await table.locate(-1, table.header.indexOf(config.target)),
        hint: 'Choose another name; list the column under data.exclude if it is no feature.',
      },
    );
  }
  const named = [
    { key: 'target', names: isMadeUp ? [] : targetsOf(config) },
    { key: 'features', names: config.features ?? [] },
    { key: 'exclude', names: config.exclude ?? [] },
    { key: 'transforms.columns', names: Object.keys(config.transforms.columns ?? {}) },
    { key: 'types', names: Object.keys(config.types ?? {}) },
    { key: 'split.group', names: config.split.group === undefined ? [] : [config.split.group] },
    { key: 'split.time', names: config.split.time === undefined ? [] : [config.split.time] },
    { key: 'missing.columns', names: Object.keys(config.missing.columns ?? {}) },
  ];
  for (const { key, names } of named) {
    const name = names.find((each) => !table.header.includes(each));
    if (name === undefined) continue;
    const headless = table.header.every((cell) => kindOf(cell) === 'number');
    const hint = headless
      ? 'The first line holds numbers: put a line with the column names before it.'
      : (didYouMean(name, table.header) ?? `The columns are: ${table.header.join(', ')}.`);
    const place = await table.locate(-1, 0);
    throw new MaasError('MAAS_DATA_COLUMN', `there is no column "${name}", which data.${key} names`, {
      place,
      hint,
    });
  }
}

/** Only rows without a target can be left out: there is nothing to fill one in with. */
async function checkFilled(table: Located, config: DataConfig): Promise<void> {
  const targets = config.task === 'reconstruction' ? [] : targetsOf(config);
  const name = targets.find((each) => (config.missing.columns?.[each] ?? 'error') !== 'error');
  if (name === undefined) return;
  throw new MaasError(
    'MAAS_DATA_COLUMN',
    `data.missing.columns names the target "${name}", which is not filled in`,
    {
      place: await table.locate(-1, table.header.indexOf(name)),
      hint: 'Write data.missing.target: drop to leave rows without a target out.',
    },
  );
}

async function readColumn(table: RawTable, name: string, config: DataConfig): Promise<Column> {
  const index = table.header.indexOf(name);
  const cells = table.columns[index]!;
  const guessed = guessType(cells);
  if (guessed === undefined) throw await noValues(table, name, config);
  const type = cellType(config, name) ?? guessed;
  const isTarget = targetsOf(config).includes(name);
  const rule = isTarget ? 'error' : fillRuleOf(name, type, config, table.path);
  const isMissing = missingTest(type, config);
  const problemOf = (cell: string): string | undefined => {
    if (isMissing(cell)) return rule === 'error' ? whyMissing(cell) : undefined;
    return type === 'number' ? whyNoNumber(cell) : undefined;
  };
  const row = cells.findIndex((cell) => problemOf(cell) !== undefined);
  if (row !== -1) {
    const count = cells.reduce((sum, cell) => sum + (problemOf(cell) === undefined ? 0 : 1), 0);
    const cell = cells[row]!;
    throw await misfits(table, { name, type }, { row, cell, problem: problemOf(cell)!, count }, config);
  }
  const gaps = cells.filter(isMissing);
  const facts = {
    name,
    rule,
    named: rule !== 'error' && config.missing.columns?.[name] !== undefined,
    missing: gaps.length,
    written: [...new Set(gaps)].sort(),
  };
  return type === 'number'
    ? { ...facts, type, values: Float64Array.from(cells, (cell) => (isMissing(cell) ? NaN : Number(cell))) }
    : { ...facts, type, values: cells };
}

export async function noValues(table: Located, name: string, config: DataConfig): Promise<MaasError> {
  return new MaasError('MAAS_DATA_VALUE', `column "${name}" has no value in any row`, {
    place: await table.locate(0, table.header.indexOf(name)),
    hint: targetsOf(config).includes(name) ? 'Check data.target.' : 'List it under data.exclude.',
  });
}

/** The first cell that does not fit its column, and how many there are. */
export interface Misfit {
  readonly row: number;
  readonly cell: string;
  readonly problem: string;
  readonly count: number;
}

export async function misfits(
  table: Located,
  { name, type }: Pick<Column, 'name' | 'type'>,
  { row, cell, problem, count }: Misfit,
  config: DataConfig,
): Promise<MaasError> {
  const more = count - 1;
  const others = more > 0 ? `, and ${more} more ${more === 1 ? 'row has' : 'rows have'} such a cell` : '';
  return new MaasError('MAAS_DATA_VALUE', `column "${name}" ${problem} in this row${others}`, {
    place: await table.locate(row, table.header.indexOf(name)),
    hint: hintFor(name, type, cell, config),
  });
}

export function guessType(cells: readonly string[]): CellType | undefined {
  let [numbers, texts] = [0, 0];
  for (const cell of cells) {
    const kind = kindOf(cell);
    if (kind === 'number' || kind === 'infinite') numbers += 1;
    else texts += kind === 'text' ? 1 : 0;
  }
  return typeFrom(numbers, texts);
}

/** A column with more numbers than words holds numbers, and its words are mistakes to report. */
export function typeFrom(numbers: number, texts: number): CellType | undefined {
  if (numbers === 0 && texts === 0) return undefined;
  return numbers > texts ? 'number' : 'category';
}

function hintFor(name: string, type: CellType, cell: string, config: DataConfig): string {
  if (type === 'number' && kindOf(cell) === 'text') {
    const transform = config.types?.[name] === undefined && config.transforms.columns?.[name]?.name;
    if (transform) return `data.transforms says ${transform}, which takes numbers: choose another transform.`;
    return `Correct the value or drop the row; if the column is not meant as numbers, set data.types: {${name}: category}.`;
  }
  return targetsOf(config).includes(name)
    ? 'Fill in a value, or set data.missing: {target: drop} to leave such rows out.'
    : `Fill in a value, drop the row, list "${name}" under data.exclude, or say in data.missing how to fill it.`;
}

/** @throws MaasError MAAS_DATA_COLUMN when a text column has a name or values that no graph input should have. */
export async function checkCategories(
  table: Located,
  column: { readonly name: string; readonly values: { readonly length: number } },
  distinct: number,
  declared: boolean,
): Promise<void> {
  const rows = column.values.length;
  const isReserved = reserved.includes(column.name);
  if (!isReserved && (declared || distinct <= Math.max(20, rows / 2))) return;
  if (isReserved) throw await nameTaken(table, column.name, 'a text column');
  const place = await table.locate(-1, table.header.indexOf(column.name));
  throw new MaasError(
    'MAAS_DATA_COLUMN',
    `column "${column.name}" has ${distinct} different texts in ${rows} rows, as names and identifiers do`,
    {
      place,
      hint: `List it under data.exclude, or set data.types: {${column.name}: category} to use it all the same, or {${column.name}: text} to use its words.`,
    },
  );
}

async function nameTaken(table: Located, name: string, what: string): Promise<MaasError> {
  return new MaasError('MAAS_DATA_COLUMN', `${what} cannot be named "${name}": the model uses that name`, {
    place: await table.locate(-1, table.header.indexOf(name)),
    hint: 'Rename the column, or list it under data.exclude.',
  });
}
