import { MaasError } from '../errors.js';
import { isMissingText, kindOf } from './cells.js';
import type { Column } from './columns.js';
import type { CellType, DataConfig } from './config.js';

/** How the missing values of a column are filled: a rule by name, or a number that stands for them. */
export type FillRule = 'median' | 'mean' | 'own' | 'mostFrequent' | 'error' | number;

const rules: Readonly<Record<CellType, readonly string[]>> = {
  number: ['median', 'mean', 'error'],
  category: ['own', 'mostFrequent', 'error'],
};

/** Tells missing cells from others: as the usual marks say, and those that the config adds. */
export function missingTest(type: CellType, config: DataConfig): (cell: string) => boolean {
  const markers = new Set(config.missing.markers?.map(String));
  return type === 'number'
    ? (cell) => kindOf(cell) === 'missing' || markers.has(cell)
    : (cell) => isMissingText(cell) || markers.has(cell);
}

/**
 * What the config says to do about the missing values of a feature.
 * @throws MaasError MAAS_DATA_COLUMN when the rule is for columns of the other type.
 */
export function fillRuleOf(name: string, type: CellType, config: DataConfig, path: string): FillRule {
  const { numbers, categories, columns } = config.missing;
  const rule = columns?.[name] ?? (type === 'number' ? numbers : categories);
  const fits = typeof rule === 'number' ? type === 'number' : rules[type].includes(rule);
  if (fits) return rule;
  throw new MaasError(
    'MAAS_DATA_COLUMN',
    `data.missing.columns says ${rule} for "${name}", which is a column of ${type === 'number' ? 'numbers' : 'text'}`,
    { place: { file: path }, hint: `Choose one of ${rules[type].join(', ')}.` },
  );
}

/** The value that stands for a missing one, worked out from the rows `train` alone; '' is a category of its own. */
export function fillOf(column: Column, train: readonly number[]): number | string {
  if (column.type === 'category') return fillText(column.rule, () => countTexts(column.values, train));
  const present = train.map((row) => column.values[row]!).filter((value) => !Number.isNaN(value));
  return fillNumber(column.rule, {
    count: present.length,
    sum: present.reduce((sum, value) => sum + value, 0),
    median: () => median(present),
  });
}

/** The numbers of a column that there are, in the train split. */
export interface Present {
  readonly count: number;
  readonly sum: number;
  median(): number;
}

export function fillNumber(rule: FillRule, present: Present): number {
  if (typeof rule === 'number') return rule;
  if (present.count === 0) return 0;
  // Of the two zeros the one without a sign.
  return (rule === 'mean' ? present.sum / present.count : present.median()) + 0;
}

/** @param counts Rows of each text, in the train split. Among equally frequent texts the first in the alphabet wins. */
export function fillText(rule: FillRule, counts: () => ReadonlyMap<string, number>): string {
  if (rule !== 'mostFrequent') return '';
  const ranked = [...counts()]
    .filter(([text]) => text !== '')
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return ranked[0]?.[0] ?? '';
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function countTexts(values: readonly string[], rows: readonly number[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const row of rows) counts.set(values[row]!, (counts.get(values[row]!) ?? 0) + 1);
  return counts;
}

/** Which values were missing and what was filled in, in one line, or nothing. */
export function noteFilled(features: readonly Column[], train: readonly number[]): string[] {
  return noteFills(
    features
      .filter((column) => column.missing > 0)
      .map((column) => ({ ...column, fill: fillOf(column, train) })),
  );
}

interface Filled {
  readonly name: string;
  readonly missing: number;
  readonly rule: FillRule;
  readonly fill: number | string;
}

export function noteFills(filled: readonly Filled[]): string[] {
  const parts = filled.map((column) => `${column.name} ${column.missing} (${describeFill(column)})`);
  return parts.length === 0 ? [] : [`filled missing values: ${parts.join(', ')}; data.missing says how`];
}

function describeFill({ rule, fill }: Filled): string {
  if (rule === 'own') return 'a category of its own';
  const value = typeof fill === 'number' ? String(Number(fill.toPrecision(5))) : JSON.stringify(fill);
  return typeof rule === 'number' ? value : `${rule === 'mostFrequent' ? 'most frequent' : rule} ${value}`;
}
