import { MaasError } from '../errors.js';
import { byHash, type Unit } from './split-units.js';

/** One way to divide the rows of train and validation anew; those of test stay apart. */
export interface Fold {
  /** Parts that the rows are divided into, of which each is held out once. */
  readonly count: number;
  /** The part that is held out to validate, from 0. Without one all are trained on, and none validates. */
  readonly held?: number;
}

/**
 * Deals units to parts of as many rows each: in the order of their hashes, class by class, each to the part that has the
 * fewest rows.
 * @returns The units that a fold trains on, and those that it holds out.
 * @throws MaasError MAAS_DATA_SPLIT when there are fewer units than parts.
 */
export function dealFold(
  units: readonly Unit[],
  strataOf: (unit: Unit) => number,
  { count, held }: Fold,
  path: string,
): { readonly train: Unit[]; readonly validation: Unit[] } {
  if (units.length < count) {
    const rows = `${units.length} different rows to train and validate on`;
    throw new MaasError('MAAS_DATA_SPLIT', `train.folds is ${count}, the data has ${rows}`, {
      place: { file: path },
      hint: 'Ask for fewer folds, or add rows.',
    });
  }
  const filled = new Array<number>(count).fill(0);
  const sorted = units.toSorted((a, b) => strataOf(a) - strataOf(b) || byHash(a, b));
  const train: Unit[] = [];
  const validation: Unit[] = [];
  for (const unit of sorted) {
    const part = filled.indexOf(Math.min(...filled));
    filled[part]! += unit.rows.length;
    (part === held ? validation : train).push(unit);
  }
  return { train, validation };
}
