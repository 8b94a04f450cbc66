import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Model } from '../../../src/ir/graph.js';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { encodeModel, saveModel } from '../../../src/ir/onnx/save.js';
import { printModel } from '../../../src/ir/print.js';
import { tensor } from '../../../src/ir/tensor.js';
import type { Pass, PassReport } from '../../../src/plugin/api.js';
import { foldPass, quantizePass } from '../../../src/stages/compress/index.js';
import { quantizeMatrix } from '../../../src/stages/compress/passes/quantize-matrix.js';
import { passModels } from '../../conformance/pass-models.js';
import { contextOf } from '../../conformance/pass-suite.js';
import { classifier, flowers } from '../../evaluate/models.js';

async function apply(
  pass: Pass,
  model: Model,
  options: unknown = {},
): Promise<{ model: Model; report: PassReport }> {
  return pass.run(model, pass.options.parse(options), contextOf({ features: flowers(64) }));
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'maas-passes-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function withInitializer(model: Model, name: string, dims: number[], values: number[]): Model {
  const initializers = new Map(model.graph.initializers).set(name, tensor('float32', dims, values));
  return { ...model, graph: { ...model.graph, initializers } };
}

describe('fold and quantize', () => {
  it('write the graph that the main job serves', async () => {
    const folded = await apply(foldPass, classifier(64));
    const { model } = await apply(quantizePass, folded.model);
    const text = printModel(model)
      .replaceAll(/sha256:\w+/g, 'sha256')
      .replace(/(bias2: .* = ).*/, '$1…')
      .replace(/(relu_scale: .* = ).*/, '$1…');
    expect(text).toBe(`model ir 10, opset 21, ai.onnx.ml 3, com.microsoft 1
graph main(features: float32[N, 4]) -> (label: string[N], probabilities: float32[N, 3])
  const weight2: float32[64, 3] sha256
  const bias2: float32[3] = …
  const weight0_folded: float32[4, 64] sha256
  const bias0_shifted: float32[64] sha256
  const bias1_corrected: float32[64] sha256
  const relu_scale: float32[] = …
  const relu_zero: uint8[] = [0]
  const weight1_int8: int8[64, 64] sha256
  const weight1_scale: float32[64] sha256
  dense0: float32[N, 64] = Gemm(features, weight0_folded, bias0_shifted)
  relu: float32[N, 64] = Relu(dense0)
  relu_int8 = QuantizeLinear(relu, relu_scale, relu_zero)
  dense1: float32[N, 64] = com.microsoft.MatMulIntegerToFloat(relu_int8, weight1_int8, relu_scale, weight1_scale, relu_zero, _, bias1_corrected)
  relu_1: float32[N, 64] = Relu(dense1)
  dense2: float32[N, 3] = Gemm(relu_1, weight2, bias2)
  softmax: float32[N, 3] = Softmax(dense2) {axis: -1}
  argmax: int64[N] = ArgMax(softmax) {axis: -1, keepdims: 0}
  labelencoder: string[N] = ai.onnx.ml.LabelEncoder(argmax) {keys_int64s: [0, 1, 2], values_strings: ["setosa","versicolor","virginica"]}
  label: string[N] = Identity(labelencoder)
  probabilities: float32[N, 3] = Identity(softmax)
`);
  });

  it('come out as the fused integer kernel in onnxruntime when activations are dynamic', async () => {
    const { model } = await apply(quantizePass, classifier(64), { mode: 'dynamic' });
    const optimized = join(await makeFolder(), 'optimized.onnx');
    const session = await InferenceSession.create(encodeModel(model), {
      graphOptimizationLevel: 'all',
      optimizedModelFilePath: optimized,
      logSeverityLevel: 3,
    });
    await session.release();
    const { graph } = await loadModel(optimized);
    expect(graph.nodes.map(({ op }) => op)).toContain('DynamicQuantizeMatMul');
    expect(graph.nodes.map(({ op }) => op)).not.toContain('MatMulInteger');
  });
});

describe('quantize', () => {
  it('leaves small and excluded layers alone, and says why', async () => {
    const { report } = await apply(quantizePass, classifier(64), { minElements: 256, exclude: ['*se1'] });
    expect(report.applied?.map(({ node }) => node)).toEqual(['dense0']);
    expect(report.skipped).toEqual([
      { node: 'dense1', reason: 'excluded' },
      { node: 'dense2', reason: '64 × 3 weights are fewer than minElements (256)' },
    ]);
  });

  it('leaves weights alone that are not numbers', async () => {
    const broken = withInitializer(classifier(64), 'weight1', [64, 64], new Array<number>(4096).fill(NaN));
    const { report } = await apply(quantizePass, broken);
    expect(report.skipped).toContainEqual({ node: 'dense1', reason: 'its weights are not finite' });
  });

  it('reads weights from external data', async () => {
    const path = join(await makeFolder(), 'model.onnx');
    await saveModel(classifier(64), path, { external: true });
    const [there, here] = await Promise.all([
      apply(quantizePass, await loadModel(path)),
      apply(quantizePass, classifier(64)),
    ]);
    expect(there.model.graph.initializers.get('weight1_int8')).toEqual(
      here.model.graph.initializers.get('weight1_int8'),
    );
  });
});

describe('convolutions', () => {
  const residual = passModels().find(({ name }) => name.startsWith('a residual net'))!;
  const quantizeIt = (options: object) =>
    quantizePass.run(
      residual.model,
      quantizePass.options.parse({ minElements: 1, ...options }),
      contextOf(residual.feeds),
    );
  const count = (model: Model, op: string): number =>
    model.graph.nodes.filter((node) => node.op === op).length;

  it('stay uint8 from one to the next, their sums and what lies between', async () => {
    const { model, report } = await quantizeIt({});
    expect(count(model, 'BatchNormalization')).toBe(0);
    // The input, five results of convolutions and a sum, the pooled image, and the input of the Gemm.
    expect(count(model, 'QuantizeLinear')).toBe(1 + 4 + 1 + 1 + 1);
    expect(report.applied!.filter(({ note }) => note.startsWith('int8 convolution'))).toHaveLength(4);
    const folder = await makeFolder();
    const optimized = join(folder, 'optimized.onnx');
    const session = await InferenceSession.create(Buffer.from(encodeModel(model)), {
      graphOptimizationLevel: 'extended',
      optimizedModelFilePath: optimized,
    });
    await session.release();
    const { graph } = await loadModel(optimized);
    expect(graph.nodes.map(({ op }) => op).filter((op) => op === 'Conv' || op === 'Add')).toEqual([]);
    expect(graph.nodes.filter(({ op }) => op === 'QLinearConv')).toHaveLength(4);
    expect(graph.nodes.filter(({ op }) => op === 'QLinearAdd')).toHaveLength(1);
  });

  it('stay float32 where they are excluded or small', async () => {
    const [first] = residual.model.graph.nodes.filter(({ op }) => op === 'Conv');
    const { model, report } = await quantizeIt({ exclude: [first!.name], minElements: 200 });
    expect(count(model, 'Conv')).toBe(4);
    expect(report.skipped).toContainEqual({ node: first!.name, reason: 'excluded' });
    expect(report.applied!.filter(({ note }) => note.startsWith('int8 convolution'))).toHaveLength(3);
  });
});

describe('fold', () => {
  it('stays away from shifts that would cost precision', async () => {
    const far = withInitializer(classifier(64), 'mean', [4], [1e6, 3, 4, 1]);
    const { report } = await apply(foldPass, far);
    expect(report).toMatchObject({ changed: false, skipped: [{ node: 'dense0' }] });
  });

  it('stays away from a division by zero', async () => {
    const { report } = await apply(foldPass, withInitializer(classifier(64), 'deviation', [4], [1, 0, 1, 1]));
    expect(report.changed).toBe(false);
  });
});

describe('quantizeMatrix', () => {
  const layout = { rows: 3, columns: 2, transposed: false, perChannel: true, largest: 127 };

  it('rounds to half a step of its column', () => {
    const weights = fc.float32Array({ minLength: 6, maxLength: 6, noNaN: true, min: -100, max: 100 });
    fc.assert(
      fc.property(weights, fc.boolean(), fc.constantFrom(63, 127), (given, perChannel, largest) => {
        const { values, scales } = quantizeMatrix(given, { ...layout, perChannel, largest })!;
        values.forEach((value, index) => {
          const scale = scales[perChannel ? index % 2 : 0]!;
          expect(Math.abs(value)).toBeLessThanOrEqual(largest);
          // An all but zero column is stored as zeros.
          const error = Math.abs(value * scale - given[index]!);
          expect(error).toBeLessThanOrEqual(
            scale === 1 ? 1e-40 + Math.abs(given[index]! - value) : scale * 0.5001,
          );
        });
      }),
    );
  });

  it('reads a transposed matrix', () => {
    const straight = quantizeMatrix(Float32Array.of(1, 2, 3, 4, 5, 6), layout)!;
    const turned = quantizeMatrix(Float32Array.of(1, 3, 5, 2, 4, 6), { ...layout, transposed: true })!;
    expect(turned).toEqual(straight);
    expect([...straight.scales]).toEqual([Math.fround(5 / 127), Math.fround(6 / 127)]);
  });

  it('gives a column of zeros a scale', () => {
    const { values, scales } = quantizeMatrix(Float32Array.of(0, 1, 0, 2, 0, 3), layout)!;
    expect(scales[0]).toBe(1);
    expect([...values].map((value) => value + 0)).toEqual([0, 42, 0, 85, 0, 127]);
  });
});
