import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Column, Table } from '../../src/data/dataset.js';
import type { Signature } from '../../src/data/signature.js';
import { confusionOf, score, scoreValues } from '../../src/evaluate/index.js';
import { figures, findFigure } from '../../src/evaluate/figures.js';
import { agreement, signalToNoise } from '../../src/evaluate/metrics.js';
import { calibrationError, logLoss, rocAuc, topAccuracy } from '../../src/evaluate/probabilities.js';
import { classes, signatureOf, tableOf } from './models.js';

/** As test/fixtures/sklearn/make-metrics.py writes it. */
interface Fixture {
  readonly classes: readonly {
    readonly name: string;
    readonly classes: number;
    readonly truth: readonly number[];
    readonly probabilities: readonly number[];
    readonly confusion: readonly (readonly number[])[];
    readonly expected: Readonly<Record<string, number>>;
    readonly ofLabels: Readonly<Record<'precision' | 'recall' | 'f1', Readonly<Record<string, number>>>>;
  }[];
  readonly amounts: readonly {
    readonly name: string;
    readonly truth: readonly number[];
    readonly predicted: readonly number[];
    readonly expected: Readonly<Record<string, number>>;
  }[];
}

const file = new URL('../fixtures/sklearn/metrics.json', import.meta.url);
const fixture = JSON.parse(readFileSync(file, 'utf8')) as Fixture;

function signature(labels: readonly string[]): Signature {
  return { ...signatureOf('classification'), target: { name: 'y', labels } };
}

function argMax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

describe('figures as scikit-learn has them', () => {
  it.each(fixture.classes)(
    '$name',
    ({ classes: count, truth, probabilities, confusion, expected, ofLabels }) => {
      const labels = Array.from({ length: count }, (_, at) => `label ${at}`);
      const values = Float32Array.from(probabilities);
      const found = truth.map(
        (_, row) => labels[argMax(probabilities.slice(row * count, (row + 1) * count))]!,
      );
      const predictions = { rows: truth.length, labels: found, values };
      const table = tableOf({}, classes(truth));
      const scores = score(predictions, table, signature(labels));
      for (const [name, value] of Object.entries(expected)) {
        // Logarithms and means of confidence carry the rounding of float32.
        const tolerance = name === 'logLoss' || name === 'calibrationError' ? 1e-6 : 1e-9;
        expect(Math.abs(scores[name]! - value), name).toBeLessThan(tolerance);
      }
      for (const [name, each] of Object.entries(ofLabels)) {
        for (const [index, value] of Object.entries(each)) {
          const label = `${name}.label ${index}`;
          // Nothing was there to be found.
          if (name === 'recall' && !truth.includes(Number(index))) expect(scores).not.toHaveProperty(label);
          else expect(scores[label], label).toBeCloseTo(value, 9);
        }
      }
      expect(confusionOf(predictions, table, signature(labels))).toEqual({ labels, counts: confusion });
      for (const name of Object.keys(scores)) expect(findFigure(name)?.task, name).toBe('classification');
      // What a model in training predicts, in two batches.
      const half = Math.floor(truth.length / 2) * count;
      const parts = [values.subarray(0, half), values.subarray(half)];
      expect(scoreValues(parts, classes(truth), signature(labels))).toEqual(scores);
    },
  );

  it.each(fixture.amounts)('$name', ({ truth, predicted, expected }) => {
    const target: Column = { dtype: 'float32', dims: [truth.length, 1], data: Float32Array.from(truth) };
    const values = Float32Array.from(predicted);
    const table: Table = tableOf({}, target as never);
    const scores = score({ rows: truth.length, labels: [], values }, table, signatureOf('regression'));
    expect(Object.keys(scores).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, value] of Object.entries(expected)) {
      expect(Math.abs(scores[name]! - value), name).toBeLessThan(1e-9);
      expect(findFigure(name)?.task, name).toBe('regression');
    }
    expect(scoreValues([values], target, signatureOf('regression'))).toEqual(scores);
  });

  it('knows a direction for every figure that it gives', () => {
    for (const { better, summary } of Object.values(figures)) {
      expect(['greater', 'less']).toContain(better);
      expect(summary).toMatch(/\.$/);
    }
    expect(findFigure('recall.a.b')).toMatchObject({ label: 'a.b', better: 'greater' });
    for (const name of ['recall.', '.a', 'accuracy.a', 'toString', ''])
      expect(findFigure(name)).toBeUndefined();
  });
});

it('takes the probability of class 1 for that of both', () => {
  const [pair, one] = [Float32Array.of(0.25, 0.75, 0.5, 0.5), Float32Array.of(0.75, 0.5)];
  const of = (part: Float32Array) => scoreValues([part], classes([1, 1]), signature(['no', 'yes']));
  expect(of(one)).toEqual(of(pair));
});

describe('probabilities', () => {
  it('compares each row of the class with each of the rest', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 4 })), { maxLength: 12 }),
        (rows) => {
          const scores = (which: boolean) => rows.filter(([one]) => one === which).map(([, score]) => score);
          const [ones, zeros] = [scores(true), scores(false)];
          const wins = ones.flatMap((one) => zeros.map((zero) => (one > zero ? 1 : one === zero ? 0.5 : 0)));
          const expected = wins.reduce<number>((sum, win) => sum + win, 0) / wins.length;
          const found = rocAuc(
            rows.length,
            (row) => rows[row]![0],
            (row) => rows[row]![1],
          );
          if (wins.length === 0) expect(found).toBeNaN();
          else expect(found).toBeCloseTo(expected, 12);
        },
      ),
    );
  });

  it('stays finite for a probability of 0, and hides no NaN', () => {
    expect(logLoss([0], [0, 1], 2)).toBeCloseTo(24 * Math.log(2));
    expect(logLoss([0], [NaN, 1], 2)).toBeNaN();
    expect(calibrationError([true], [NaN, 1], 2)).toBeNaN();
    expect(topAccuracy([0], [NaN, 1], 2, 2)).toBe(0);
    expect(
      rocAuc(
        2,
        (row) => row === 0,
        () => NaN,
      ),
    ).toBeNaN();
  });

  it('are figures of nothing without rows', () => {
    const nothing = { rows: 0, labels: [], values: new Float32Array() };
    const scores = score(nothing, tableOf({}, classes([])), signature(['a', 'b']));
    expect(Object.values(scores).every((value) => value === 0)).toBe(true);
  });
});

describe('two models', () => {
  it('agree on a share of the labels', () => {
    expect(agreement(['a', 'b', 'b', 'c'], ['a', 'b', 'c', 'c'])).toBe(0.75);
  });

  it('differ by 20 dB at a tenth of the amplitude', () => {
    expect(signalToNoise([1, -2, 3], [1.1, -2.2, 3.3])).toBeCloseTo(20);
    expect(signalToNoise([1, 2], [1, 2])).toBe(Infinity);
  });

  it('differ by as much at any scale', () => {
    const values = fc.array(fc.double({ min: 1, max: 10, noNaN: true }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 100, noNaN: true }), (reference, scale) => {
        const other = reference.map((value, index) => value + 0.1 * ((index % 3) + 1));
        const scaled = signalToNoise(
          reference.map((value) => value * scale),
          other.map((value) => value * scale),
        );
        expect(scaled).toBeCloseTo(signalToNoise(reference, other), 3);
      }),
    );
  });
});
