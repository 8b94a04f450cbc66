import { stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import type { Model } from '../../../../src/ir/graph.js';
import { loadModel } from '../../../../src/ir/onnx/load.js';
import { maxFileLength } from '../../../../src/ir/onnx/save.js';
import { isFileRange } from '../../../../src/ir/tensor.js';
import { noise } from '../../../evaluate/models.js';
import { values } from '../../../conformance/pass-models.js';
import { compress, makeFolder, relaxed } from './order.js';
import { writeNpy } from '../../../../src/stages/train/engines/command/npy.js';

const width = 4096;
/** 64 MiB each. */
const layers = 33;
/** The model, what is made of it, and the copy that is calibrated. */
const wanted = 4 * layers * width * width * 4;

const { bavail, bsize } = await statfs(tmpdir());
const full = bavail * bsize < wanted ? `${tmpdir()} has less than ${wanted / 2 ** 30} GiB left` : undefined;

/** Layers whose weights are all the same part of one file. */
async function largeModel(folder: string): Promise<Model> {
  const path = join(folder, 'weights.bin');
  const random = noise(3);
  const weights = Float32Array.from({ length: width * width }, () => random() / Math.sqrt(width));
  await writeFile(path, new Uint8Array(weights.buffer));
  const graph = new GraphBuilder('large');
  let x = graph.input('x', 'float32', ['N', width]);
  for (let layer = 0; layer < layers; layer++) {
    const data = { path, offset: 0, length: weights.byteLength };
    const weight = graph.initializer(`weight${layer}`, { dtype: 'float32', dims: [width, width], data });
    x = graph.op('Tanh', [graph.op('MatMul', [x, weight], {}, { name: `layer${layer}` })]);
  }
  graph.output(x, 'y');
  const opsets = { '': 21 };
  return { irVersion: 10, opsets, producer: 'test', metadata: {}, graph: graph.build() };
}

describe.skipIf(full)(`a model of more than 2 GiB${full ? ` (skipped: ${full})` : ''}`, () => {
  it('is calibrated, quantized and judged with its weights on disk', { timeout: 240_000 }, async () => {
    const folder = await makeFolder();
    const calibration = join(folder, 'rows.npy');
    const rows = values(4, width);
    await writeNpy(calibration, rows, () => [rows]);
    const exclude = Array.from({ length: layers - 2 }, (_, layer) => `layer${layer}`).join(', ');
    const set = [
      relaxed,
      'compress.gates.agreement.min=0',
      `compress.passes=[{quantize: {exclude: [${exclude}]}}]`,
    ];
    const { passes, metrics } = await compress(folder, await largeModel(folder), {
      external: true,
      calibration,
      set,
    });
    expect((await stat(join(folder, 'given.onnx.data'))).size).toBeGreaterThan(maxFileLength);
    expect(passes[0]!.applied?.map(({ node }) => node)).toEqual(['layer31', 'layer32']);
    const left = (layers - 2 + 2 / 4) / layers;
    expect(metrics['sizeRatio']).toBeCloseTo(left, 3);
    const { graph } = await loadModel(join(folder, 'made.onnx'));
    expect(graph.initializers.get('weight31_int8')?.dims).toEqual([width, width]);
    expect([...graph.initializers.values()].filter(({ data }) => isFileRange(data))).not.toHaveLength(0);
  });
});
