import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attr } from '../../../src/ir/graph.js';
import { valuesOf } from '../../../src/ir/tensor.js';
import { quantizePass } from '../../../src/stages/compress/index.js';
import {
  observeGrams,
  observeMagnitudes,
  observeMeans,
  observeSpreads,
} from '../../../src/stages/compress/passes/observe.js';
import { quantizeBlocks, type BlockMatrix } from '../../../src/stages/compress/passes/quantize/blocks.js';
import { factorUpper } from '../../../src/stages/compress/passes/quantize/cholesky.js';
import { quantizeByInputs } from '../../../src/stages/compress/passes/quantize/gptq.js';
import { quantizeHalfQuadratic } from '../../../src/stages/compress/passes/quantize/hqq.js';
import { build, values, weight } from '../../conformance/pass-models.js';
import { contextOf } from '../../conformance/pass-suite.js';
import { noise } from '../../evaluate/models.js';

const [rows, columns, block] = [48, 6, 16];
const layout = { rows, columns, transposed: false, bits: 4, block } as const;

/** Correlated inputs, whose channels are of very different size. */
function makeCase(seed: number): { weights: Float32Array; inputs: Float64Array[]; gram: Float64Array } {
  const random = noise(seed);
  const weights = Float32Array.from({ length: rows * columns }, random);
  const inputs = Array.from({ length: 200 }, () => {
    const common = random();
    return Float64Array.from({ length: rows }, (_, row) => (random() + common) * (row % 7 === 0 ? 5 : 1));
  });
  const gram = new Float64Array(rows * rows);
  for (const x of inputs) {
    for (let row = 0; row < rows; row++) {
      for (let other = 0; other < rows; other++) gram[row * rows + other]! += x[row]! * x[other]!;
    }
  }
  return { weights, inputs, gram };
}

function integersOf({ packed, blocks }: BlockMatrix): number[] {
  return Array.from({ length: columns * rows }, (_, at) => {
    const place = Math.floor(at / rows) * blocks * block + (at % rows);
    return (packed[place >> 1]! >> (place % 2 === 0 ? 0 : 4)) & 15;
  });
}

function restore(matrix: BlockMatrix): number[] {
  return integersOf(matrix).map((integer, at) => {
    const part = Math.floor(at / rows) * matrix.blocks + Math.floor((at % rows) / block);
    return (integer - (matrix.zeros?.[part] ?? 8)) * matrix.scales[part]!;
  });
}

/** Squared error of the layer's outputs. */
function errorOf(matrix: BlockMatrix, weights: Float32Array, inputs: readonly Float64Array[]): number {
  const restored = restore(matrix);
  let error = 0;
  for (const x of inputs) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) {
        sum += x[row]! * (weights[row * columns + column]! - restored[column * rows + row]!);
      }
      error += sum ** 2;
    }
  }
  return error;
}

/** The paper's algorithm as it is written: the upper Cholesky factor of the inverse Hessian, errors spread at once. */
function referenceIntegers(weights: Float32Array, gram: Float64Array, scales: Float32Array): number[] {
  const mean = Array.from({ length: rows }, (_, at) => gram[at * rows + at]!).reduce((a, b) => a + b) / rows;
  const hessian = gram.map((value, at) => value + (at % (rows + 1) === 0 ? 0.01 * mean : 0));
  const inverse = invert(hessian);
  // Cholesky: inverse = Uᵀ · U.
  const upper = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = i; j < rows; j++) {
      let sum = inverse[i * rows + j]!;
      for (let k = 0; k < i; k++) sum -= upper[k * rows + i]! * upper[k * rows + j]!;
      upper[i * rows + j] = i === j ? Math.sqrt(sum) : sum / upper[i * rows + i]!;
    }
  }
  const left = Float64Array.from(weights);
  const integers = new Array<number>(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let column = 0; column < columns; column++) {
      const scale = scales[column * (rows / block) + Math.floor(i / block)]!;
      const integer = Math.max(-8, Math.min(7, Math.round(left[i * columns + column]! / scale)));
      integers[column * rows + i] = integer + 8;
      const error = (left[i * columns + column]! - integer * scale) / upper[i * rows + i]!;
      for (let j = i; j < rows; j++) left[j * columns + column]! -= upper[i * rows + j]! * error;
    }
  }
  return integers;
}

/** Gauss and Jordan; pivots of a positive definite matrix need no search. */
function invert(matrix: Float64Array): Float64Array {
  const work = matrix.slice();
  const inverse = Float64Array.from({ length: rows * rows }, (_, at) => (at % (rows + 1) === 0 ? 1 : 0));
  for (let pivot = 0; pivot < rows; pivot++) {
    const by = work[pivot * rows + pivot]!;
    for (let at = 0; at < rows; at++) {
      work[pivot * rows + at]! /= by;
      inverse[pivot * rows + at]! /= by;
    }
    for (let row = 0; row < rows; row++) {
      const factor = work[row * rows + pivot]!;
      if (row === pivot) continue;
      for (let at = 0; at < rows; at++) {
        work[row * rows + at]! -= factor * work[pivot * rows + at]!;
        inverse[row * rows + at]! -= factor * inverse[pivot * rows + at]!;
      }
    }
  }
  return inverse;
}

describe('GPTQ', () => {
  it('gives the integers of the algorithm in the paper', () => {
    const { weights, gram } = makeCase(3);
    const made = quantizeByInputs(weights, gram, layout, { damping: 0.01, actOrder: false })!;
    expect(integersOf(made)).toEqual(referenceIntegers(weights, gram, made.scales));
  });

  it('changes the outputs far less than rounding to the nearest does', () => {
    for (const seed of [1, 2, 3, 4]) {
      const { weights, inputs, gram } = makeCase(seed);
      const nearest = errorOf(quantizeBlocks(weights, layout)!, weights, inputs);
      const errors = [false, true].map((actOrder) =>
        errorOf(quantizeByInputs(weights, gram, layout, { damping: 0.01, actOrder })!, weights, inputs),
      );
      expect(Math.max(...errors)).toBeLessThan(nearest * 0.75);
    }
  });

  it('reads transposed weights, and refuses what tells nothing', () => {
    const { weights, gram } = makeCase(5);
    const turned = Float32Array.from(
      weights,
      (_, at) => weights[(at % rows) * columns + Math.floor(at / rows)]!,
    );
    const options = { damping: 0.01, actOrder: true };
    expect(quantizeByInputs(turned, gram, { ...layout, transposed: true }, options)).toEqual(
      quantizeByInputs(weights, gram, layout, options),
    );
    expect(quantizeByInputs(weights, new Float64Array(rows * rows), layout, options)).toBeUndefined();
    expect(
      quantizeByInputs(
        weights,
        gram.map(() => NaN),
        layout,
        options,
      ),
    ).toBeUndefined();
    expect(
      quantizeByInputs(
        weights.map(() => Infinity),
        gram,
        layout,
        options,
      ),
    ).toBeUndefined();
  });

  it('copes with inputs that depend on each other', () => {
    const { weights } = makeCase(6);
    const gram = new Float64Array(rows * rows).fill(1);
    expect(quantizeByInputs(weights, gram, layout, { damping: 1e-12, actOrder: true })).toBeDefined();
  });

  it('says that there are no rows, or that they tell nothing', async () => {
    const { model, feeds } = build('dense', { x: values(3, 64) }, (graph) =>
      graph.op('MatMul', [graph.op('Relu', ['x']), graph.constant(weight(64, 64))]),
    );
    const settings = quantizePass.options.parse({ mode: 'weights', algorithm: 'gptq' });
    const none = { seed: 1, calibration: () => Promise.resolve([]) };
    const { report } = await quantizePass.run(model, settings, none);
    expect(report).toMatchObject({ changed: true, notes: [expect.stringContaining('no rows for gptq')] });
    const negative = {
      x: { ...feeds['x']!, data: (feeds['x']!.data as Float32Array).map((v) => -Math.abs(v)) },
    };
    const dead = await quantizePass.run(model, settings, contextOf(negative));
    expect(dead.report.notes).toEqual([expect.stringContaining('matmul tell nothing to gptq')]);
  });
});

it('HQQ loses less than rounding to the nearest where few weights are large', () => {
  const random = noise(9);
  const weights = Float32Array.from(
    { length: rows * columns },
    (_, at) => random() * (at % 37 === 0 ? 6 : 1) + 0.3,
  );
  const loss = (matrix: BlockMatrix): number =>
    restore(matrix).reduce((sum, value, at) => {
      const original = weights[(at % rows) * columns + Math.floor(at / rows)]!;
      return sum + Math.abs(value - original) ** 0.7;
    }, 0);
  const nearest = loss(quantizeBlocks(weights, layout)!);
  expect(loss(quantizeHalfQuadratic(weights, layout)!)).toBeLessThan(nearest * 0.8);
  expect(
    quantizeHalfQuadratic(
      weights.map(() => NaN),
      layout,
    ),
  ).toBeUndefined();
  const zeros = quantizeHalfQuadratic(
    weights.map(() => 0),
    layout,
  )!;
  expect(restore(zeros).every((value) => value === 0)).toBe(true);
});

it('factorUpper gives R with R · Rᵀ the matrix', () => {
  const cells = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 49, maxLength: 49 });
  fc.assert(
    fc.property(cells, (given) => {
      const size = 7;
      const matrix = Float64Array.from({ length: 49 }, (_, at) => {
        const [i, j] = [Math.floor(at / size), at % size];
        let sum = i === j ? 0.1 : 0;
        for (let k = 0; k < size; k++) sum += given[i * size + k]! * given[j * size + k]!;
        return sum;
      });
      const r = factorUpper(matrix, size)!;
      matrix.forEach((value, at) => {
        const [i, j] = [Math.floor(at / size), at % size];
        let sum = 0;
        for (let k = 0; k < size; k++) sum += r[i * size + k]! * r[j * size + k]!;
        expect(sum).toBeCloseTo(value, 10);
        if (j < i) expect(r[at]).toBe(0);
      });
    }),
    { numRuns: 20 },
  );
  expect(factorUpper(Float64Array.of(1, 2, 2, 1), 2)).toBeUndefined();
});

describe.each([11, 21])('what is observed in operator set %i', (opset) => {
  const feeds = { x: values(4, 3, 5) };
  const x = feeds.x.data;
  const { model } = build('dense', feeds, (graph) => graph.op('Mul', ['x', graph.scalar(1)]), opset);
  const batches = [0, 1].map((half) => ({
    x: {
      dtype: 'float32' as const,
      dims: half === 0 ? [3, 3, 5] : [1, 3, 5],
      data: x.slice(half * 45, half === 0 ? 45 : 60),
    },
  }));
  const value = { name: model.graph.nodes[0]!.outputs[0]!, channels: 5 };
  const column = (channel: number) => Array.from({ length: 12 }, (_, row) => x[row * 5 + channel]!);

  it('are the means, magnitudes and products of its channels', async () => {
    const [means, magnitudes, grams] = await Promise.all([
      observeMeans(model, [value], batches),
      observeMagnitudes(model, [value], batches),
      observeGrams(model, [value], batches),
    ]);
    for (let channel = 0; channel < 5; channel++) {
      const own = column(channel);
      expect(means.get(value.name)![channel]).toBeCloseTo(own.reduce((a, b) => a + b) / 12, 5);
      expect(magnitudes.get(value.name)![channel]).toBeCloseTo(Math.max(...own.map(Math.abs)), 5);
      const product = column(2).reduce((sum, other, row) => sum + other * own[row]!, 0);
      expect(grams.get(value.name)![2 * 5 + channel]).toBeCloseTo(product, 4);
    }
  });

  it('is how far values spread, and that they are no numbers, in one run with the means', async () => {
    const { name } = value;
    const { spreads, means } = await observeSpreads(model, ['x', name], [value], batches);
    expect(spreads.get('x')).toEqual({ low: Math.min(...x), high: Math.max(...x) });
    expect(spreads.get(name)).toEqual(spreads.get('x'));
    expect(means).toEqual(await observeMeans(model, [value], batches));
    for (const wrong of [NaN, Infinity, -Infinity]) {
      const spoilt = batches.map((feeds) => ({ x: { ...feeds.x, data: feeds.x.data.with(0, wrong) } }));
      const broken = await observeSpreads(model, [name], [], spoilt);
      expect(broken.spreads.get(name)).toEqual({ low: NaN, high: NaN });
    }
  });

  it('are those of images too', async () => {
    const image = { x: values(2, 3, 2, 2) };
    const pictures = build('image', image, (graph) => graph.op('Mul', ['x', graph.scalar(1)]), opset);
    const name = pictures.model.graph.nodes[0]!.outputs[0]!;
    const means = await observeMeans(pictures.model, [{ name, channels: 3, isImage: true }], [image]);
    const second = Array.from(image.x.data).filter((_, at) => Math.floor(at / 4) % 3 === 1);
    expect(means.get(name)![1]).toBeCloseTo(second.reduce((a, b) => a + b) / 8, 5);
  });
});

it('zero points of an odd number of blocks are packed column by column', async () => {
  const { model, feeds } = build('dense', { x: values(3, 48) }, (graph) =>
    graph.op('Gemm', ['x', graph.constant(weight(20, 48))], { transB: attr.int(1) }),
  );
  const settings = quantizePass.options.parse({
    mode: 'weights',
    algorithm: 'hqq',
    block: 16,
    minElements: 1,
  });
  const { model: made } = await quantizePass.run(model, settings, contextOf(feeds));
  const zeros = [...made.graph.initializers].find(([name]) => name.endsWith('_zeros'))![1];
  expect(zeros.dims).toEqual([20, 2]);
  expect(valuesOf(zeros)).toHaveLength(40);
});
