import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import type { Dim, Model } from '../../../src/ir/graph.js';
import { int64s } from '../../../src/ir/tensor.js';
import { toStaticShapesPass } from '../../../src/stages/compress/index.js';
import { values, weight } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';
import { compress, makeFolder, relaxed } from './file/order.js';

/** Reads its sizes off the input, twice. */
function modelOf(...shape: Dim[]): Model {
  const g = new GraphBuilder();
  g.input('x', 'float32', shape);
  const sizes = g.op('Shape', ['x']);
  const pick = (at: number) => g.op('Gather', [sizes, g.constant(int64s([at]))]);
  const flat = g.op('Reshape', [
    'x',
    g.op('Concat', [pick(0), g.op('Mul', [pick(1), pick(2)])], { axis: { type: 'int', value: 0n } }),
  ]);
  const turned = g.op('Reshape', [
    flat,
    g.op('Concat', [pick(0), pick(2), pick(1)], { axis: { type: 'int', value: 0n } }),
  ]);
  g.output(
    g.op('MatMul', [
      g.op('Transpose', [turned], { perm: { type: 'ints', value: [0n, 2n, 1n] } }),
      g.constant(weight(8, 5)),
    ]),
  );
  return { irVersion: 8, opsets: { '': 17 }, producer: 'test', metadata: {}, graph: g.build() };
}

const run = (model: Model, options: object) =>
  toStaticShapesPass.run(model, toStaticShapesPass.options.parse(options), contextOf({}));

describe('toStaticShapes', () => {
  it.each([
    { dimensions: { batch: 2, sequence: 3 } },
    { inputs: { x: [2, 3, 8] } },
    { dimensions: { batch: 2 }, inputs: { x: [2, 3, 8] } },
  ])('fixes sizes by %j, and computes what depends on them once', async (options) => {
    const model = modelOf('batch', 'sequence', 8);
    const feeds = { x: values(2, 3, 8) };
    const { model: fixed, report } = await run(model, options);
    expect(fixed.graph.inputs).toMatchObject([{ shape: [2, 3, 8] }]);
    expect(fixed.graph.outputs).toMatchObject([{ shape: [2, 3, 5] }]);
    expect(fixed.graph.nodes.filter(({ op }) => op === 'Shape' || op === 'Concat')).toEqual([]);
    expect(report.applied![0]).toEqual({ node: 'x', note: 'is [2, 3, 8]' });
    expect(await runModel(fixed, feeds)).toEqual(await runModel(model, feeds));
    const again = await run(fixed, options);
    expect(again.model).toBe(fixed);
    expect(again.report.changed).toBe(false);
    expect(model.graph.inputs).toMatchObject([{ shape: ['batch', 'sequence', 8] }]);
  });

  it('leaves open what nobody names', async () => {
    const given = modelOf('batch', 'sequence', 8);
    const { model } = await run(given, { dimensions: { sequence: 3 } });
    expect(model.graph.inputs).toMatchObject([{ shape: ['batch', 3, 8] }]);
    const feeds = { x: values(4, 3, 8) };
    expect(await runModel(model, feeds)).toEqual(await runModel(given, feeds));
  });

  it.each([
    [{ dimensions: { bath: 1 } }, 'no input has a size named "bath"'],
    [{ inputs: { y: [1, 3, 8] } }, 'there is no input "y"'],
    [{ inputs: { x: [1, 3, 9] } }, 'the input x [batch, sequence, 8] cannot be [1, 3, 9]'],
    [{ inputs: { x: [1, 8] } }, 'cannot be [1, 8]'],
    [{ dimensions: { batch: 2 }, inputs: { x: [1, 3, 8] } }, '"batch" cannot be both 2 and 1'],
  ])('refuses %j', async (options, message) => {
    await expect(run(modelOf('batch', 'sequence', 8), options)).rejects.toMatchObject({
      code: 'MAAS_MODEL_SHAPE',
      message: expect.stringContaining(message) as string,
    });
  });

  it.each([{}, { dimensions: {} }, { dimensions: { batch: 0 } }, { inputs: { x: [1.5] } }])(
    'has no options %j',
    (options) => {
      expect(toStaticShapesPass.options.safeParse(options).success).toBe(false);
    },
  );

  it('is judged on inputs of the shape that is left', async () => {
    const passes = [{ toStaticShapes: { dimensions: { batch: 2, sequence: 24 } } }];
    const result = await compress(await makeFolder(), modelOf('batch', 'sequence', 8), {
      set: [relaxed, `compress.passes=${JSON.stringify(passes)}`],
    });
    expect(result.metrics['signalToNoise']).toBe(null);
  });
});
