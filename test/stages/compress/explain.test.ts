import { join } from 'node:path';
import { Listr } from 'listr2';
import { describe, expect, it } from 'vitest';
import { readSection } from '../../../src/config/index.js';
import { saveModel } from '../../../src/ir/onnx/save.js';
import { byteLengthOf } from '../../../src/ir/tensor.js';
import { explainFile } from '../../../src/stages/compress/explain/tasks.js';
import { fileOptions } from '../../../src/stages/compress/index.js';
import { layersTable } from '../../../src/ui/layers-table.js';
import { classifier } from '../../evaluate/models.js';
import { makeFolder, registry } from './file/order.js';

describe('--explain', () => {
  it('tells the bytes, the time, the cost and the fate of each layer', async () => {
    const path = join(await makeFolder(), 'given.onnx');
    const model = classifier(128);
    await saveModel(model, path);
    const set = ['compress.passes=[fold, {quantize: {mode: dynamic}}]'];
    const options = readSection('compress', fileOptions(registry), set);
    const { tasks, found } = explainFile(path, undefined, options, registry);
    await new Listr([...tasks], { renderer: 'silent' }).run();
    const { layers, bytes, microseconds, recipe } = found();
    expect(recipe).toEqual(['fold', 'quantize']);
    const constants = [...model.graph.initializers.values()];
    expect(bytes).toBe(constants.reduce((sum, constant) => sum + byteLengthOf(constant), 0));
    expect(layers.map(({ op }) => op.split(':').at(-1))).toEqual(model.graph.nodes.map(({ op }) => op));
    expect(layers.every(({ microseconds: time }) => time >= 0)).toBe(true);
    expect(microseconds).toBeGreaterThan(0);
    const [wide, small] = ['dense1', 'dense2'].map((name) => layers.find(({ node }) => node === name)!);
    expect(wide).toMatchObject({ op: 'Gemm', weights: [128, 128], bytes: 4 * (128 * 128 + 128) });
    expect(wide!.signalToNoise).toBeGreaterThan(20);
    expect(wide!.decision).toMatch(/^quantize: int8 128 × 128/);
    expect(small!.signalToNoise).toBeUndefined();
    expect(small!.decision).toMatch(/^quantize leaves it: .* fewer than minElements/);
    const table = layersTable(found(), { color: false });
    expect(table).toMatch(/dense1 +Gemm +128 × 128/);
  });
});
