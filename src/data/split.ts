import { MaasError } from '../errors.js';
import type { Split } from './config.js';
import type { SplitName } from './dataset.js';
import { startDealing, type Whole } from './deal.js';
import { dealFold, type Fold } from './folds.js';
import type { RawTable } from './readers/index.js';
import { byHash, collectUnits, orderByTime, placeByHash, type Unit } from './split-units.js';
import type { Target } from './target.js';

export type SplitRows = Readonly<Record<SplitName, readonly number[]>>;

/**
 * Divides the rows, class by class. A row's place depends on the hash of its content and the seed, never on where it
 * stands in the file; copies of a row go the same way, so that nothing is tested on what it was trained on. Each split
 * is in the order of the hashes, which mixes the classes. All columns of the source count as content, so that leaving a
 * column out of the features does not move rows from one split to another. The config may ask for places by the hash
 * alone, for rows with one value in a column to stay together, or for the latest rows to be held out.
 * @param fold Divides what is not for testing anew.
 * @throws MaasError MAAS_DATA_SPLIT when a class (or the whole, for amounts) has too few different rows.
 */
export function splitRows(
  table: RawTable,
  target: Target,
  split: Split,
  seed: number,
  fold?: Fold,
): SplitRows {
  const parts: Record<SplitName, Unit[]> = { train: [], validation: [], test: [] };
  if (split.time !== undefined) {
    const moments = orderByTime(table, split.time);
    if (moments.length < 3) throw tooFewValues(split.time, moments.length, table.path);
    divide(moments.reverse(), split, parts);
  } else {
    const units = collectUnits(table, split.group, seed);
    if (split.group !== undefined && units.length < 3)
      throw tooFewValues(split.group, units.length, table.path);
    if (split.by === 'hash') for (const unit of units) parts[placeByHash(unit, split)].push(unit);
    else {
      const whole = target.task === 'regression' || split.group !== undefined;
      (whole ? [units] : byClass(units, target)).forEach((stratum, index) => {
        if (stratum.length < 3) {
          const rows = stratum.reduce((sum, unit) => sum + unit.rows.length, 0);
          throw tooFewRows(target, index, { units: stratum.length, rows }, table.path);
        }
        divide(stratum, split, parts);
      });
    }
  }
  for (const [name, part] of Object.entries(parts)) {
    if (part.length > 0) continue;
    throw nothingIn(name, table.path);
  }
  if (fold) {
    const classOf = ({ rows: [row] }: Unit): number =>
      target.task === 'classification' && split.group === undefined ? target.classes[row!]! : 0;
    Object.assign(parts, dealFold([...parts.train, ...parts.validation], classOf, fold, table.path));
  }
  const inOrder = (part: Unit[]): number[] => part.sort(byHash).flatMap((unit) => unit.rows);
  return { train: inOrder(parts.train), validation: inOrder(parts.validation), test: inOrder(parts.test) };
}

export function nothingIn(split: string, path: string): MaasError {
  return new MaasError('MAAS_DATA_SPLIT', `no row falls into the ${split} split`, { place: { file: path } });
}

function byClass(groups: readonly Unit[], target: Target & { task: 'classification' }): Unit[][] {
  const classes = target.labels.map((): Unit[] => []);
  for (const group of groups) classes[target.classes[group.rows[0]!]!]!.push(group);
  return classes;
}

function divide(units: readonly Unit[], split: Split, parts: Record<SplitName, Unit[]>): void {
  const rows = units.reduce((sum, unit) => sum + unit.rows.length, 0);
  const deal = startDealing({ units: units.length, rows }, split);
  for (const unit of units) parts[deal(unit.rows.length)].push(unit);
}

export function tooFewRows(
  target: { readonly labels?: readonly string[] },
  stratum: number,
  { units, rows }: Whole,
  path: string,
): MaasError {
  const copies = rows > units ? ` (${rows} with copies)` : '';
  const found = `${units} different ${units === 1 ? 'row' : 'rows'}${copies}`;
  const subject = target.labels ? `class "${target.labels[stratum]!}" has` : 'the file has';
  return new MaasError('MAAS_DATA_SPLIT', `${subject} ${found}: train, validation and test need one each`, {
    place: { file: path },
    hint: target.labels ? 'Add rows of that class, or leave its rows out of the file.' : 'Add rows.',
  });
}

export function tooFewValues(column: string, count: number, path: string): MaasError {
  const values = `${count} different ${count === 1 ? 'value' : 'values'}`;
  return new MaasError(
    'MAAS_DATA_SPLIT',
    `column "${column}" has ${values}: train, validation and test need one each`,
    { place: { file: path }, hint: 'Divide by another column, or leave it out of data.split.' },
  );
}
