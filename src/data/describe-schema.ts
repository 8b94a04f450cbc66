import type { ArrayColumn } from './arrays/read-arrays.js';
import type { ImageColumn } from './images/open-images.js';
import type { Column, Columns } from './columns.js';
import type { ColumnType } from './config.js';
import type { SplitName } from './dataset.js';
import type { RawTable } from './readers/index.js';
import type { SplitRows } from './split.js';

/** A column as it was found, over all rows of the source. */
export interface ColumnSchema {
  readonly name: string;
  readonly role: 'feature' | 'target' | 'excluded';
  /** The rest is left out for columns that are excluded: nobody looked at their cells. */
  readonly type?: ColumnType | 'array';
  /** Of a row of an array, or of an image. */
  readonly shape?: readonly number[];
  /** Rows without a value, and how the source writes that. */
  readonly missing?: number;
  readonly written?: readonly string[];
  readonly distinct?: number;
  /** Of numbers. */
  readonly min?: number;
  readonly max?: number;
  readonly mean?: number;
  /** Rows with each text, the most frequent first. */
  readonly categories?: readonly { readonly value: string; readonly rows: number }[];
}

/** `schema.json`: what the source holds, for people and for tools that watch data drift. */
export interface DataSchema {
  readonly schemaVersion: 1;
  readonly rows: number;
  readonly splits: Readonly<Record<SplitName, number>>;
  readonly columns: readonly ColumnSchema[];
}

/** Of a column with more different texts, only the most frequent are listed. */
const maxCategories = 100;

export function describeSchema(
  table: RawTable,
  { features, target, others = [] }: Columns,
  splits: SplitRows,
  arrays: readonly (ArrayColumn | ImageColumn)[] = [],
): DataSchema {
  return {
    schemaVersion: 1,
    rows: table.lines.length,
    splits: {
      train: splits.train.length,
      validation: splits.validation.length,
      test: splits.test.length,
    },
    columns: table.header.map((name): ColumnSchema => {
      const goal = [target, ...others].find((each) => each.name === name);
      if (goal) return describe(goal, 'target');
      const column = features.find((feature) => feature.name === name);
      const array = arrays.find((each) => each.name === name);
      if (array && 'spec' in array) return { name, role: 'feature', type: 'image', shape: array.shape };
      if (array) {
        const { shape, ids } = array;
        return { name, role: 'feature', type: 'array', shape, ...(ids !== undefined && { max: ids - 1 }) };
      }
      return column ? describe(column, 'feature') : { name, role: 'excluded' };
    }),
  };
}

function describe(column: Column, role: ColumnSchema['role']): ColumnSchema {
  const { name, type, missing, written } = column;
  const facts = { name, role, type, missing, ...(missing > 0 && { written }) };
  if (column.type === 'category') {
    const counts = new Map<string, number>();
    for (const text of column.values) counts.set(text, (counts.get(text) ?? 0) + 1);
    return { ...facts, ...describeTexts(counts, written) };
  }
  const present = column.values.filter((value) => !Number.isNaN(value));
  let [min, max, sum] = [Infinity, -Infinity, 0];
  for (const value of present) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { ...facts, distinct: new Set(present).size, min, max, mean: sum / present.length };
}

/** @param counts Rows with each text; `written` are the missing ones among them. */
export function describeTexts(
  counts: ReadonlyMap<string, number>,
  written: readonly string[],
): Pick<ColumnSchema, 'distinct' | 'categories'> {
  const categories = [...counts]
    .filter(([text]) => !written.includes(text))
    .map(([value, rows]) => ({ value, rows }))
    .sort((a, b) => b.rows - a.rows || (a.value < b.value ? -1 : 1));
  return { distinct: categories.length, categories: categories.slice(0, maxCategories) };
}
