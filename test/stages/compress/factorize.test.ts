import { describe, expect, it } from 'vitest';
import { signalToNoise } from '../../../src/evaluate/metrics.js';
import { attr } from '../../../src/ir/graph.js';
import { tensor, valuesOf } from '../../../src/ir/tensor.js';
import { factorizePass } from '../../../src/stages/compress/index.js';
import { decompose } from '../../../src/stages/compress/passes/factorize/eigen.js';
import { build, values, weight } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';

describe('decompose', () => {
  it.each([1, 2, 3, 24])('gives back a symmetric matrix of %i rows', (size) => {
    const { data } = values(size, size);
    const matrix = Float64Array.from({ length: size * size }, (_, at) => {
      const [row, column] = [Math.floor(at / size), at % size];
      return data[row * size + column]! + data[column * size + row]!;
    });
    const { values: found, vectors } = decompose(matrix, size)!;
    expect([...found]).toEqual([...found].sort((a, b) => b - a));
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        let [sum, product] = [0, 0];
        for (let at = 0; at < size; at++) {
          sum += found[at]! * vectors[at * size + row]! * vectors[at * size + column]!;
          product += vectors[row * size + at]! * vectors[column * size + at]!;
        }
        expect(sum).toBeCloseTo(matrix[row * size + column]!, 10);
        expect(product).toBeCloseTo(row === column ? 1 : 0, 10);
      }
    }
  });

  it('takes zeros, what is diagonal already, and nothing that is no number', () => {
    expect([...decompose(new Float64Array(9), 3)!.values]).toEqual([0, 0, 0]);
    expect([...decompose(Float64Array.of(1, 0, 0, 3), 2)!.values]).toEqual([3, 1]);
    expect(decompose(new Float64Array(9).fill(NaN), 3)).toBeUndefined();
  });
});

/** Inputs of 32 numbers that lie in a space of 4 dimensions, but for a little. */
function narrowInputs(rows: number): ReturnType<typeof values> {
  const [inner, spread, own] = [values(rows, 4), values(4, 32), values(rows, 32)];
  const data = own.data.map((value, at) => {
    const [row, column] = [Math.floor(at / 32), at % 32];
    let sum = 0.001 * value;
    for (let k = 0; k < 4; k++) sum += inner.data[row * 4 + k]! * spread.data[k * 32 + column]!;
    return sum;
  });
  return { dtype: 'float32', dims: [rows, 32], data };
}

const { model, feeds } = build('one layer', { x: narrowInputs(100) }, (graph) =>
  graph.op(
    'Gemm',
    ['x', graph.constant(weight(40, 32), 'w'), graph.constant(weight(40))],
    { transB: attr.int(1) },
    { name: 'dense' },
  ),
);

async function factorize(options: object, rows = true) {
  const parsed = factorizePass.options.parse({ minElements: 1, ...options });
  const context = { ...contextOf(feeds), ...(!rows && { calibration: () => Promise.resolve([]) }) };
  const { model: after, report } = await factorizePass.run(model, parsed, context);
  const [expected, actual] = [await runModel(model, feeds), await runModel(after, feeds)];
  const output = model.graph.outputs[0]!.name;
  return { after, report, decibels: signalToNoise(expected[output] as number[], actual[output] as number[]) };
}

describe('factorize', () => {
  it('finds the rank that the inputs have', async () => {
    const { after, report, decibels } = await factorize({ energy: 0.9999 });
    expect(report.applied![0]!.note).toMatch(/^32 × 40 by rank 4, keeps 100.0 % of the power/);
    expect(decibels).toBeGreaterThan(40);
    const sizes = [...after.graph.initializers.values()].map(({ dims }) => dims);
    expect(sizes).toEqual(
      expect.arrayContaining([
        [32, 4],
        [4, 40],
      ]),
    );
  });

  it('is nearer to the outputs with calibration rows than without', async () => {
    const [blind, aware] = [await factorize({ ratio: 0.5 }, false), await factorize({ ratio: 0.5 })];
    expect(blind.report.applied![0]!.note).toMatch(/rank 8/);
    expect(aware.decibels).toBeGreaterThan(blind.decibels + 10);
  });

  it('leaves alone what it would not make faster', async () => {
    const { report } = await factorize({ energy: 0.9999 }, false);
    expect(report.skipped[0]!.reason).toMatch(/needs rank \d+, and more than 14 saves too little/);
    expect((await factorize({ exclude: ['dense'] })).report.skipped[0]!.reason).toBe('excluded');
    const broken = tensor('float32', [40, 32], (valuesOf(weight(40, 32)) as Float32Array).fill(NaN));
    const initializers = new Map(model.graph.initializers).set('w', broken);
    const options = factorizePass.options.parse({ minElements: 1 });
    const ruined = { ...model, graph: { ...model.graph, initializers } };
    const found = await factorizePass.run(ruined, options, contextOf(feeds));
    expect(found.report.skipped[0]!.reason).toMatch(/not finite/);
  });

  it('takes energy or ratio', () => {
    const { error } = factorizePass.options.safeParse({ energy: 0.9, ratio: 0.5 });
    expect(error!.issues[0]!.message).toMatch(/not by both/);
  });
});
