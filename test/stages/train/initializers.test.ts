import { describe, expect, it } from 'vitest';
import { randomStream } from '../../../src/stages/train/random.js';
import {
  drawWeights,
  initializerNames,
  type InitializerName,
} from '../../../src/stages/train/layers/initializers.js';

const fans = { in: 30, out: 70 };
const count = 40_000;
const draw = (name: InitializerName, seed = 1): Float32Array =>
  // What is orthogonal takes as many steps as it has sizes: a smaller one shows it.
  drawWeights(name, name === 'orthogonal' ? [20, 30] : [count], fans, randomStream(seed, 'test', 0));

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count);
}

describe('drawWeights', () => {
  it.each<[InitializerName, number, number]>([
    // Standard deviation and greatest magnitude, from the formulas in the documentation of Keras.
    ['glorotUniform', Math.sqrt(2 / 100), Math.sqrt(6 / 100)],
    ['glorotNormal', Math.sqrt(2 / 100), (2 * Math.sqrt(2 / 100)) / 0.8796],
    ['heUniform', Math.sqrt(2 / 30), Math.sqrt(6 / 30)],
    ['heNormal', Math.sqrt(2 / 30), (2 * Math.sqrt(2 / 30)) / 0.8796],
    ['lecunUniform', Math.sqrt(1 / 30), Math.sqrt(3 / 30)],
    ['lecunNormal', Math.sqrt(1 / 30), (2 * Math.sqrt(1 / 30)) / 0.8796],
    ['randomUniform', 0.05 / Math.sqrt(3), 0.05],
    ['randomNormal', 0.05, 0.05 * 6],
  ])('%s has the scale of Keras', (name, expected, greatest) => {
    const values = draw(name);
    expect(deviation(values) / expected).toBeCloseTo(1, 1);
    expect(Math.abs(values.reduce((sum, value) => sum + value, 0) / count)).toBeLessThan(expected / 50);
    const magnitude = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(magnitude).toBeLessThanOrEqual(greatest * 1.0001);
  });

  it('knows constants', () => {
    expect(new Set(draw('zeros'))).toEqual(new Set([0]));
    expect(new Set(draw('ones'))).toEqual(new Set([1]));
  });

  it.each([[[12, 30]], [[30, 12]], [[1, 40, 10]], [[8, 3, 3, 3]], [[7, 7]], [[1, 5]], [[1]]])(
    '%j has rows, or columns, of length 1 at right angles',
    (dims) => {
      const values = drawWeights('orthogonal', dims, fans, randomStream(1, 'test', 0));
      const squeezed = dims.filter((size, at) => at > 0 || size > 1);
      const rows = squeezed[0] ?? 1;
      const columns = values.length / rows;
      const element = (row: number, column: number) => values[row * columns + column]!;
      const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
      const of = (one: number, at: number) => (rows <= columns ? element(one, at) : element(at, one));
      for (let a = 0; a < count; a++) {
        for (let b = 0; b < count; b++) {
          const product = Array.from({ length }, (_, at) => of(a, at) * of(b, at)).reduce((x, y) => x + y, 0);
          expect(product).toBeCloseTo(a === b ? 1 : 0, 5);
        }
      }
    },
  );

  it('repeats itself for the same stream only', () => {
    for (const name of initializerNames.filter((each) => !['zeros', 'ones'].includes(each))) {
      expect(draw(name, 3)).toEqual(draw(name, 3));
      expect(draw(name, 3)).not.toEqual(draw(name, 4));
    }
  });
});
