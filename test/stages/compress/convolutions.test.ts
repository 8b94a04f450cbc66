import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { expect, it, onTestFinished } from 'vitest';
import { signalToNoise } from '../../../src/evaluate/metrics.js';
import type { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Attributes, type Model } from '../../../src/ir/graph.js';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { quantizePass } from '../../../src/stages/compress/index.js';
import { build, values, weight } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';

const same: Attributes = { pads: attr.ints([1, 1, 1, 1]) };

function convolve(
  graph: GraphBuilder,
  input: string,
  sizes: readonly number[],
  more: Attributes = {},
): string {
  const pads = sizes[2] === 3 ? same : {};
  return graph.op('Conv', [input, graph.constant(weight(...sizes))], { ...pads, ...more });
}

/** Operators that onnxruntime makes of a model. */
async function optimize(model: Model): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'maas-convolutions-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const optimizedModelFilePath = join(folder, 'optimized.onnx');
  const session = await InferenceSession.create(Buffer.from(encodeModel(model)), {
    graphOptimizationLevel: 'extended',
    optimizedModelFilePath,
  });
  await session.release();
  return (await loadModel(optimizedModelFilePath)).graph.nodes.map(({ op }) => op);
}

const quantize = (model: Model, feeds: Parameters<typeof contextOf>[0], options: object = {}) =>
  quantizePass.run(model, quantizePass.options.parse(options), contextOf(feeds));

it('gates, halves and joins between convolutions are computed with integers', async () => {
  const { model, feeds } = build('a block of a detector', { x: values(2, 8, 16, 16) }, (graph) => {
    const first = convolve(graph, 'x', [16, 8, 3, 3]);
    const gated = graph.op('Mul', [first, graph.op('Sigmoid', [first])]);
    const [left, right] = graph.ops(
      'Split',
      [gated, graph.int64s([8, 8])],
      { axis: attr.int(1) },
      { outputs: 2 },
    );
    const inner = convolve(graph, right!, [8, 8, 3, 3]);
    const sum = graph.op('Add', [inner, right!]);
    const joined = graph.op('Concat', [left!, sum, inner], { axis: attr.int(1) });
    const last = convolve(graph, joined, [32, 24, 1, 1]);
    return graph.op('Flatten', [graph.op('GlobalAveragePool', [last])]);
  });
  const { model: made } = await quantize(model, feeds);
  const ops = await optimize(made);
  for (const op of ['Conv', 'Mul', 'Sigmoid', 'Add', 'Concat']) expect(ops).not.toContain(op);
  // The image goes in, and what nothing computes with integers comes out.
  expect(ops.filter((op) => op === 'QuantizeLinear')).toHaveLength(1);
  const [before, after] = [await runModel(model, feeds), await runModel(made, feeds)];
  const [exact, rounded] = [before, after].map((outputs) => Object.values(outputs)[0] as number[]);
  expect(signalToNoise(exact!, rounded!)).toBeGreaterThan(25);
});

it('what no convolution reads stays as exact as it was', async () => {
  const { model, feeds } = build('a sum at the end', { x: values(2, 8, 8, 8) }, (graph) => {
    const one = convolve(graph, 'x', [16, 8, 3, 3]);
    const other = convolve(graph, 'x', [16, 8, 3, 3]);
    return graph.op('ReduceMean', [graph.op('Mul', [one, other])]);
  });
  const { model: made } = await quantize(model, feeds);
  expect((await optimize(made)).filter((op) => ['Mul', 'QLinearMul'].includes(op))).toEqual(['Mul']);
});

it.each([
  [4, 'float32'],
  [16, 'integers'],
])('a convolution of images of %i × %i pixels is computed with %s', async (side, numbers) => {
  const { model, feeds } = build('one layer', { x: values(2, 8, side, side) }, (graph) =>
    graph.op('Flatten', [convolve(graph, 'x', [16, 8, 3, 3])]),
  );
  const { report } = await quantize(model, feeds);
  expect(report.changed).toBe(numbers === 'integers');
});

it('convolutions that multiply little stay float32, unless they stand between integers', async () => {
  const depthwise = { group: attr.int(64) };
  const { model, feeds } = build('a depthwise net', { x: values(2, 3, 8, 8) }, (graph) => {
    const stem = graph.op('Relu', [convolve(graph, 'x', [32, 3, 3, 3])]);
    const wide = graph.op('Relu', [convolve(graph, stem, [64, 32, 1, 1])]);
    const between = graph.op('Relu', [convolve(graph, wide, [64, 1, 3, 3], depthwise)]);
    const narrow = convolve(graph, between, [64, 64, 1, 1]);
    const open = graph.op('HardSwish', [narrow]);
    const alone = graph.op('HardSwish', [convolve(graph, open, [64, 1, 3, 3], depthwise)]);
    return graph.op('Flatten', [graph.op('GlobalAveragePool', [alone])]);
  });
  const [stem, wide, between, narrow, alone] = model.graph.nodes
    .filter(({ op }) => op === 'Conv')
    .map(({ name }) => name);
  const { report } = await quantize(model, feeds);
  const named = (nodes: readonly { readonly node: string }[] | undefined) => nodes!.map(({ node }) => node);
  expect(named(report.applied)).toEqual(expect.arrayContaining([wide, between, narrow]));
  expect(report.skipped).toEqual(
    [stem, alone].map((node) => ({ node, reason: expect.stringMatching(/float32 is faster/) as string })),
  );
  const { report: all } = await quantize(model, feeds, { minElements: 1 });
  expect(named(all.applied)).toEqual(expect.arrayContaining([stem, wide, between, narrow, alone]));
});
