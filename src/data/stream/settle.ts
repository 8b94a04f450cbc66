import { MaasError } from '../../errors.js';
import { checkCategories, misfits, noValues, typeFrom, type Located } from '../columns.js';
import { cellType, type CellType, type DataConfig } from '../config.js';
import { maxNumericClasses, oneClass, sortLabels, textAmount } from '../target.js';
import type { Ingested } from './ingest.js';
import type { Tally } from './tally.js';

/** What is predicted. Classes have labels, and an index for each stored target. */
export interface Goal {
  readonly task: 'classification' | 'regression';
  readonly name: string;
  readonly labels?: readonly string[];
  readonly classOf: (stored: number) => number;
  /** Rows of each label. */
  readonly classes: readonly { readonly label: string; rows: number }[];
}

/** The types that all cells together say, or undefined when the columns were taken for what they are. */
export function correctTypes(
  { tallies }: Pick<Ingested, 'tallies'>,
  config: DataConfig,
): CellType[] | undefined {
  const types = tallies.map(
    ({ name, type, numbers, words }) => cellType(config, name) ?? typeFrom(numbers, words) ?? type,
  );
  return types.every((type, index) => type === tallies[index]!.type) ? undefined : types;
}

/** @throws MaasError what `selectColumns` would throw of these columns, in the same order. */
export async function checkTallies(
  table: Located,
  { tallies, rows, first }: Ingested,
  config: DataConfig,
): Promise<void> {
  const [target, ...features] = tallies;
  await checkCells(table, target!, first, config);
  for (const tally of features) {
    await checkCells(table, tally, first, config);
    if (tally.type === 'number') continue;
    const column = { name: tally.name, values: { length: rows } };
    await checkCategories(table, column, tally.texts.size, cellType(config, tally.name) !== undefined);
  }
}

async function checkCells(table: Located, tally: Tally, first: number, config: DataConfig): Promise<void> {
  if (typeFrom(tally.numbers, tally.words) === undefined) {
    const locate: Located['locate'] = (row, column) => table.locate(row + first, column);
    throw await noValues({ ...table, locate }, tally.name, config);
  }
  if (tally.rule instanceof MaasError) throw tally.rule;
  if (tally.misfit) throw await misfits(table, tally, tally.misfit, config);
}

/** @throws MaasError what `readTarget` would throw. */
export function settleTarget(tally: Tally, config: DataConfig, path: string): Goal {
  const { name, type, texts, distinct } = tally;
  const looksLikeClasses =
    type === 'category' ||
    (distinct !== undefined && distinct.size <= maxNumericClasses && [...distinct].every(Number.isInteger));
  // A reconstruction is refused before.
  const given = config.task === 'reconstruction' ? undefined : config.task;
  const task = given ?? (looksLikeClasses ? 'classification' : 'regression');
  if (task === 'regression') {
    if (type !== 'number') throw textAmount(name, path);
    return { task, name, classOf: () => 0, classes: [] };
  }
  if (type === 'number' && distinct === undefined) {
    throw new MaasError(
      'MAAS_DATA_VALUE',
      `the target column "${name}" has too many different numbers for classes`,
      {
        place: { file: path },
        hint: 'Set data.task: regression, or choose another target.',
      },
    );
  }
  const stored = new Map(
    type === 'category'
      ? [...texts].map(([text, { index }]): [number, string] => [index, text])
      : [...distinct!].map((value): [number, string] => [value, String(value)]),
  );
  const labels = sortLabels(new Set(stored.values()), type);
  if (labels.length < 2) throw oneClass(name, labels[0]!, path);
  const indices = new Map(labels.map((label, index) => [label, index]));
  const classes = new Map([...stored].map(([value, label]) => [value, indices.get(label)!]));
  return {
    task,
    name,
    labels,
    classOf: (value) => classes.get(value)!,
    classes: labels.map((label) => ({ label, rows: 0 })),
  };
}
