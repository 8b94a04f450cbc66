import type { Table } from '../data/dataset.js';
import type { Signature } from '../data/signature.js';
import { numbersOf } from '../data/rows.js';
import { momentsOf, type Change, type Moments } from './confidence.js';
import type { Predictions } from './predict.js';

/** What two models say of the same rows, row by row, as far as bounds of it need. */
export interface Paired {
  /** Rows that got another label than before count as lost. */
  readonly agreement?: Change;
  /** Of rows that are right. */
  readonly accuracy?: Change;
  /** The same for the rows of each label. */
  readonly labels?: Readonly<Record<string, Change>>;
  /** Squared errors after (a) and before (b). */
  readonly errors?: Moments;
  /** Squares of what changed in the outputs (a) and of the outputs (b). */
  readonly noise?: Moments;
}

/** Compares predictions on the rows of a table. */
export function pairRows(
  before: Predictions,
  after: Predictions,
  { target, rows }: Table,
  signature: Signature,
): Paired {
  const truth = numbersOf(target);
  const width = rows === 0 ? 0 : before.values.length / rows;
  const noise = momentsOf(rows, (row) => {
    let [changed, power] = [0, 0];
    for (let at = row * width; at < (row + 1) * width; at++) {
      const value = before.values[at]!;
      changed += (value - after.values[at]!) ** 2;
      power += value ** 2;
    }
    return [changed, power];
  });
  if (signature.task === 'regression') {
    const squared = ({ values }: Predictions, row: number): number => (values[row]! - truth[row]!) ** 2;
    return { noise, errors: momentsOf(rows, (row) => [squared(after, row), squared(before, row)]) };
  }
  const names = signature.target.labels ?? [];
  const all = Array.from({ length: rows }, (_, row) => row);
  const isRight = ({ labels }: Predictions, row: number): boolean => labels[row] === names[truth[row]!];
  const changeOf = (of: readonly number[]): Change => ({
    rows: of.length,
    lost: of.filter((row) => isRight(before, row) && !isRight(after, row)).length,
    gained: of.filter((row) => !isRight(before, row) && isRight(after, row)).length,
  });
  const byLabel = new Map<number, number[]>();
  for (const row of all) {
    const label = truth[row]!;
    const known = byLabel.get(label);
    if (known) known.push(row);
    else byLabel.set(label, [row]);
  }
  const labels = [...byLabel].map(([label, of]) => [names[label]!, changeOf(of)] as const);
  const lost = all.filter((row) => before.labels[row] !== after.labels[row]).length;
  return {
    noise,
    agreement: { rows, lost, gained: 0 },
    accuracy: changeOf(all),
    labels: Object.fromEntries(labels),
  };
}
