import { expect, it } from 'vitest';
import { spreadFigures, spreadOf } from '../../../../src/stages/train/folds/spread.js';

it('gives the mean and the sample deviation of figures that every fold has', () => {
  expect(spreadOf([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ mean: 5, sd: Math.sqrt(32 / 7) });
  expect(spreadOf([3])).toEqual({ mean: 3, sd: 0 });
  const folds: Record<string, number>[] = [{ accuracy: 1, rocAuc: 0.5 }, { accuracy: 0.5 }];
  expect(spreadFigures(folds)).toEqual({ accuracy: { mean: 0.75, sd: Math.sqrt(0.125) } });
  expect(spreadFigures([])).toEqual({});
});
