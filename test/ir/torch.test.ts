import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { emitBatchStatistics } from '../../src/ir/batch-statistics.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { gradients } from '../../src/ir/gradient.js';
import { attr, type Attribute, type Dim } from '../../src/ir/graph.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { tensor, type NumericDType } from '../../src/ir/tensor.js';
import { choice, loop, recurrence } from './gradient-cases/subgraphs.js';
import { openSession } from '../../src/runtime/session.js';

interface Values {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

/** Of an attribute; without `float` numbers are whole. */
type Setting = number | string | readonly number[] | { readonly float: number };

/** As test/fixtures/torch/make-gradients.py writes it. */
interface TorchCase {
  readonly what: string;
  readonly op: string;
  readonly domain: string;
  readonly opset: number;
  readonly attributes: Readonly<Record<string, Setting>>;
  readonly constants: readonly (readonly [NumericDType, readonly number[], readonly number[]] | null)[];
  /** Input that the constants come before. */
  readonly at?: number;
  readonly inputs: readonly Values[];
  readonly y: Values;
  readonly dx: readonly (readonly number[])[];
}

const fixture = new URL('../fixtures/torch/gradients.json', import.meta.url);
const { torch, cases } = JSON.parse(readFileSync(fixture, 'utf8')) as {
  torch: string;
  cases: readonly TorchCase[];
};

function attributeOf(value: Setting): Attribute {
  if (typeof value === 'string') return attr.string(value);
  if (typeof value === 'number') return attr.int(value);
  return 'float' in value ? attr.float(value.float) : attr.ints(value);
}

/** Operators with a body, of which the fixture has only what it computes. */
const bodies: Readonly<Record<string, (g: GraphBuilder, x: string[]) => string>> = {
  Scan: (g, x) => stack(g, recurrence(g, x, 0)),
  Loop: (g, x) => stack(g, loop(g, x, g.scalar(3, 'int64'), 'constant')),
  If: (g, x) => {
    const sum = g.op('ReduceSum', [x[0]!], { keepdims: attr.int(0) });
    return choice(g, x, g.op('Greater', [sum, g.scalar(0)]))[0]!;
  },
};

/** The last state, and behind it what was stacked. */
const stack = (g: GraphBuilder, [last, each]: readonly string[]): string =>
  g.op('Concat', [g.op('Unsqueeze', [last!, g.int64s([0])]), each!], { axis: attr.int(0) });

const firstOf: Readonly<Record<string, number>> = { Split: 2, TopK: 2 };

/** The operator, Σ y·cos(3k + 1) over its elements k, and the gradients. The batch is symbolic. */
function build({ op, domain, attributes, constants, at, inputs, y: { dims, values } }: TorchCase) {
  const g = new GraphBuilder();
  const batch = inputs[0]!.dims[0];
  const shapeOf = (shape: readonly number[], index: number): Dim[] =>
    shape.map((size, axis) => (index === 0 && axis === 0 && dims[0] === batch ? 'N' : size));
  const x = inputs.map((input, index) => g.input(`x${index}`, 'float32', shapeOf(input.dims, index)));
  const more = constants.map((constant) =>
    constant ? g.constant(tensor(constant[0], constant[1], constant[2].map(Number))) : '',
  );
  if (op === 'BatchNormalization') {
    const { mean, variance } = emitBatchStatistics(g, x[0]!);
    more.push(mean, variance);
  }
  const settings = Object.entries(attributes).map(([name, value]) => [name, attributeOf(value)] as const);
  const given = [...x.slice(0, at), ...more, ...x.slice(at ?? x.length)];
  const options = { outputs: firstOf[op] ?? 1, domain };
  const y = bodies[op]?.(g, x) ?? g.ops(op, given, Object.fromEntries(settings), options)[0]!;
  const weights = Float32Array.from(values, (_, at) => Math.cos(3 * at + 1));
  const weighted = g.op('Mul', [y, g.constant(tensor('float32', dims, weights))]);
  const dx = gradients(g, g.op('ReduceSum', [weighted], { keepdims: attr.int(0) }), x);
  g.output(y, 'y');
  x.forEach((name, index) => {
    // Where nothing flows there is no gradient to emit.
    const slope = dx.get(name) ?? g.op('Sub', [name, name]);
    g.output(slope, `dx${index}`);
  });
  return g.build();
}

/** The largest difference, relative to the largest of what is expected. */
function deviation(found: ArrayLike<number>, expected: readonly number[]): number {
  const size = Math.max(1, ...expected.map(Math.abs));
  return Math.max(...expected.map((value, at) => Math.abs(found[at]! - value) / size));
}

describe(`gradients as torch ${torch} has them`, () => {
  it.each(
    cases.map((check) => [`${check.domain}${check.domain && ':'}${check.op}: ${check.what}`, check] as const),
  )('%s', async (_, check) => {
    const model = {
      irVersion: 10,
      opsets: { '': check.opset, 'com.microsoft': 1 },
      producer: 'test',
      graph: build(check),
      metadata: {},
    };
    const session = await openSession(encodeModel(model), { optimization: 'basic', threads: 2 });
    try {
      const feeds = Object.fromEntries(
        check.inputs.map(({ dims, values }, index) => [
          `x${index}`,
          { dtype: 'float32' as const, dims, data: Float32Array.from(values) },
        ]),
      );
      const runs = [await session.run(feeds), await session.run(feeds), await session.run(feeds)];
      const expected = [check.y.values, ...check.dx];
      for (const [index, name] of ['y', ...check.dx.map((_, input) => `dx${input}`)].entries()) {
        const [first, ...others] = runs.map((run) => run[name]!);
        expect(first!.data).toHaveLength(expected[index]!.length);
        expect(deviation(first!.data as Float32Array, expected[index]!), name).toBeLessThan(1e-5);
        for (const other of others) expect(other.data, 'the same in every run').toEqual(first!.data);
      }
    } finally {
      await session.close();
    }
  });
});
