import { createHash } from 'node:crypto';
import { MaasError } from '../errors.js';
import type { Split } from './config.js';
import type { SplitName } from './dataset.js';
import type { RawTable } from './readers/index.js';
import type { Target } from './target.js';

export type SplitRows = Readonly<Record<SplitName, readonly number[]>>;

/** Rows with the same content. */
interface Group {
  readonly hash: string;
  readonly rows: number[];
}

/**
 * Divides the rows, class by class. A row's place depends on the hash of its content and the seed, never on where it
 * stands in the file; copies of a row go the same way, so that nothing is tested on what it was trained on. Each split
 * is in the order of the hashes, which mixes the classes. All columns of the source count as content, so that leaving a
 * column out of the features does not move rows from one split to another.
 * @throws MaasError MAAS_DATA_SPLIT when a class (or the whole, for amounts) has too few different rows.
 */
export function splitRows(table: RawTable, target: Target, split: Split, seed: number): SplitRows {
  const groups = groupRows(table.columns, seed);
  const strata = target.task === 'regression' ? [groups] : byClass(groups, target);
  const parts: Record<SplitName, Group[]> = { train: [], validation: [], test: [] };
  strata.forEach((stratum, index) => {
    if (stratum.length < 3) throw tooFewRows(target, index, stratum, table.path);
    divide(stratum, split, parts);
  });
  const inOrder = (part: Group[]): number[] => part.sort(byHash).flatMap((group) => group.rows);
  return { train: inOrder(parts.train), validation: inOrder(parts.validation), test: inOrder(parts.test) };
}

function groupRows(columns: RawTable['columns'], seed: number): Group[] {
  const groups = new Map<string, Group>();
  const rows = columns[0]?.length ?? 0;
  for (let row = 0; row < rows; row++) {
    const content = JSON.stringify([seed, ...columns.map((cells) => cells[row])]);
    const hash = createHash('sha256').update(content).digest('hex');
    const group = groups.get(hash);
    if (group) group.rows.push(row);
    else groups.set(hash, { hash, rows: [row] });
  }
  return [...groups.values()].sort(byHash);
}

function byHash(a: Group, b: Group): number {
  return a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0;
}

function byClass(groups: readonly Group[], target: Target & { task: 'classification' }): Group[][] {
  const classes = target.labels.map((): Group[] => []);
  for (const group of groups) classes[target.classes[group.rows[0]!]!]!.push(group);
  return classes;
}

/** Gives the first groups to test, the next to validation and the rest to train; each gets at least one. */
function divide(groups: readonly Group[], split: Split, parts: Record<SplitName, Group[]>): void {
  const total = groups.reduce((sum, group) => sum + group.rows.length, 0);
  const forTest = takeShare(groups.slice(0, -2), Math.round(total * split.test));
  const rest = groups.slice(forTest.length);
  const forValidation = takeShare(rest.slice(0, -1), Math.round(total * split.validation));
  parts.test.push(...forTest);
  parts.validation.push(...forValidation);
  parts.train.push(...rest.slice(forValidation.length));
}

/** The first group, and those after it as long as they bring the number of rows nearer to `wanted`. */
function takeShare(groups: readonly Group[], wanted: number): Group[] {
  const [first, ...others] = groups;
  const taken = [first!];
  let count = first!.rows.length;
  for (const group of others) {
    if (Math.abs(count + group.rows.length - wanted) >= Math.abs(count - wanted)) break;
    taken.push(group);
    count += group.rows.length;
  }
  return taken;
}

function tooFewRows(target: Target, stratum: number, groups: readonly Group[], path: string): MaasError {
  const rows = groups.reduce((sum, group) => sum + group.rows.length, 0);
  const copies = rows > groups.length ? ` (${rows} with copies)` : '';
  const found = `${groups.length} different ${groups.length === 1 ? 'row' : 'rows'}${copies}`;
  const subject =
    target.task === 'classification' ? `class "${target.labels[stratum]!}" has` : 'the file has';
  return new MaasError('MAAS_DATA_SPLIT', `${subject} ${found}: train, validation and test need one each`, {
    place: { file: path },
    hint:
      target.task === 'classification'
        ? 'Add rows of that class, or leave its rows out of the file.'
        : 'Add rows.',
  });
}
