import { MaasError } from '../errors.js';
import { isMissingText, kindOf } from './cells.js';
import type { Split } from './config.js';
import { hexOf, startHashing } from './content-hash.js';
import type { SplitName } from './dataset.js';
import { RowFields } from './readers/fields.js';
import type { RawTable } from './readers/index.js';

/** Rows that must not be torn apart: copies of a row, or all that share a value. */
export interface Unit {
  readonly hash: string;
  readonly rows: number[];
}

/** Rows by their content, or by the column `name`; in the order of the hashes, which is that of chance. */
export function collectUnits(table: RawTable, name: string | undefined, seed: number): Unit[] {
  const columns = name === undefined ? table.columns : [readComplete(table, name, 'group')];
  const units = new Map<string, Unit>();
  const hashFields = startHashing(seed);
  const fields = new RowFields(columns.length);
  const all = columns.map((_, index) => index);
  const words = new Uint32Array(4);
  for (let row = 0; row < table.lines.length; row++) {
    const cells = columns.map((values) => values[row]!);
    hashFields(fields.fill(cells, table.lines[row]!), all, words);
    const hash = hexOf(words);
    const unit = units.get(hash);
    if (unit) unit.rows.push(row);
    else units.set(hash, { hash, rows: [row] });
  }
  return [...units.values()].sort(byHash);
}

export function byHash(a: Unit, b: Unit): number {
  return a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0;
}

/**
 * Where a unit belongs by its hash alone, so that rows that are added later move none of those that are there. The
 * shares are met on average.
 */
export function placeByHash({ hash }: Unit, split: Split): SplitName {
  return placeAt(Number.parseInt(hash.slice(0, 12), 16) / 2 ** 48, split);
}

/** @param at Where the hash lies among all hashes, in [0, 1). */
export function placeAt(at: number, { test, validation }: Split): SplitName {
  return at < test ? 'test' : at < test + validation ? 'validation' : 'train';
}

/**
 * Rows of the same moment as units, the earliest first. Moments are numbers, or dates as ISO 8601 writes them.
 * @throws MaasError MAAS_DATA_VALUE at the first cell that is neither.
 */
export function orderByTime(table: RawTable, name: string): Unit[] {
  const cells = readComplete(table, name, 'time');
  const numeric = cells.every((cell) => kindOf(cell) === 'number');
  const units = new Map<number, Unit>();
  for (const [row, cell] of cells.entries()) {
    const moment = momentOf(cell, numeric);
    if (Number.isNaN(moment)) throw noDate(table.path, name, cell, table.lines[row]!);
    const unit = units.get(moment);
    if (unit) unit.rows.push(row);
    else units.set(moment, { hash: String(row), rows: [row] });
  }
  return [...units].sort(([a], [b]) => a - b).map(([, unit]) => unit);
}

function readComplete(table: RawTable, name: string, key: string): readonly string[] {
  const cells = table.columns[table.header.indexOf(name)]!;
  const row = cells.findIndex(isMissingText);
  if (row === -1) return cells;
  throw incompleteUnit(table.path, name, key, table.lines[row]!);
}

/** What a cell says of time; NaN when it is no date. */
export function momentOf(cell: string, numeric: boolean): number {
  if (numeric) return Number(cell);
  return /^\d{4}-\d\d/.test(cell) ? Date.parse(cell) : NaN;
}

export function incompleteUnit(path: string, name: string, key: string, line: number): MaasError {
  return badCell(
    path,
    line,
    `column "${name}", by which data.split.${key} divides, has no value in this row`,
  );
}

export function noDate(path: string, name: string, cell: string, line: number): MaasError {
  return badCell(path, line, `column "${name}" has no date in this row ("${cell}")`);
}

function badCell(path: string, line: number, message: string): MaasError {
  return new MaasError('MAAS_DATA_VALUE', message, {
    place: { file: path, line },
    hint: 'Fill in a value such as 2026-01-31, or drop the row.',
  });
}
