import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { gradients } from '../../src/ir/gradient.js';
import { attr, type Attributes } from '../../src/ir/graph.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { tensor } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';

/** As test/fixtures/torch/make-fake-quantize.py writes it. */
interface FakeQuantized {
  readonly dtype: 'uint8' | 'int8';
  /** Null where one scale is for all. */
  readonly axis: number | null;
  readonly zero: readonly number[];
  readonly scale: readonly number[];
  readonly dims: readonly number[];
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly dx: readonly number[];
  readonly ds: readonly number[];
}

const fixture = new URL('../fixtures/torch/fake-quantize.json', import.meta.url);
const { torch, cases } = JSON.parse(readFileSync(fixture, 'utf8')) as {
  torch: string;
  cases: readonly FakeQuantized[];
};

it.each(cases)(
  `QuantizeLinear and DequantizeLinear are the fake quantization of torch ${torch}: $dtype, axis $axis, zero $zero`,
  async ({ dtype, axis, zero, scale, dims, ...known }) => {
    const g = new GraphBuilder();
    const sizes = axis === null ? [] : [scale.length];
    const [x, s] = [g.input('x', 'float32', ['N', ...dims.slice(1)]), g.input('s', 'float32', sizes)];
    const grid = [s, g.constant(tensor(dtype, sizes, zero))];
    const attributes: Attributes = axis === null ? {} : { axis: attr.int(axis) };
    const rounded = g.op('QuantizeLinear', [x, ...grid], attributes);
    const y = g.op('DequantizeLinear', [rounded, ...grid], attributes);
    const weights = known.x.map((_, at) => Math.cos(3 * at + 1));
    const weighted = g.op('Mul', [y, g.constant(tensor('float32', dims, weights))]);
    const slopes = gradients(g, g.op('ReduceSum', [weighted], { keepdims: attr.int(0) }), [x, s]);
    g.output(y, 'y');
    g.output(slopes.get(x)!, 'dx');
    g.output(slopes.get(s)!, 'ds');
    const model = {
      irVersion: 10,
      opsets: { '': 21 },
      producer: 'test',
      graph: g.build(),
      metadata: {},
    };
    const session = await openSession(encodeModel(model), { optimization: 'basic' });
    const found = await session.run({
      x: { dtype: 'float32', dims, data: Float32Array.from(known.x) },
      s: { dtype: 'float32', dims: sizes, data: Float32Array.from(scale) },
    });
    await session.close();
    expect(found['ds']!.dims).toEqual(sizes);
    for (const name of ['y', 'dx', 'ds'] as const) {
      const most = Math.max(...known[name].map(Math.abs));
      const gap = known[name].map((value, at) => Math.abs(value - Number(found[name]!.data[at])));
      expect(Math.max(...gap) / most, name).toBeLessThan(1e-5);
    }
  },
);
