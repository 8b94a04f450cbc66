import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Model } from '../../../../src/ir/graph.js';
import { decodeModel, decodeTensorFile } from '../../../../src/ir/onnx/load.js';
import { isNumeric, toNdArray, type NdArray, type Tensor } from '../../../../src/ir/tensor.js';

/** Where Debian's package libonnx-testdata puts ONNX's own tests. */
const root = '/usr/share/libonnx-testdata/data';

export const skipReason = existsSync(root) ? undefined : 'libonnx-testdata is not installed';

/** A model of ONNX's own tests, with the inputs and outputs recorded for it. */
export interface OnnxTest {
  readonly model: Model;
  readonly bytes: Uint8Array;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

export function listTests(): string[] {
  if (skipReason !== undefined) return [];
  return ['node', 'pytorch-converted', 'pytorch-operator', 'simple'].flatMap((group) =>
    readdirSync(join(root, group)).map((name) => `${group}/${name}`),
  );
}

/** @returns the test; no tensors where inputs or outputs are sequences or of types that JavaScript has no array for. */
export async function readTest(name: string): Promise<OnnxTest> {
  const folder = join(root, name);
  const bytes = await readFile(join(folder, 'model.onnx'));
  const model = decodeModel(bytes, { baseDir: folder });
  const tensorsOf = async (kind: string, count: number): Promise<Tensor[]> => {
    const tensors: Tensor[] = [];
    for (let index = 0; index < count; index++) {
      const path = join(folder, 'test_data_set_0', `${kind}_${index}.pb`);
      if (!existsSync(path)) break;
      tensors.push(decodeTensorFile(await readFile(path), path).tensor);
    }
    return tensors;
  };
  try {
    return {
      model,
      bytes,
      inputs: await tensorsOf('input', model.graph.inputs.length),
      outputs: await tensorsOf('output', model.graph.outputs.length),
    };
  } catch {
    return { model, bytes, inputs: [], outputs: [] };
  }
}

/** By the names of the graph's inputs, or undefined when the test has no inputs that can be fed. */
export function feedsOf({ model, inputs }: OnnxTest): Record<string, NdArray> | undefined {
  const names = model.graph.inputs.filter(({ name }) => !model.graph.initializers.has(name));
  const typed = names.every(({ opaqueType }) => opaqueType === undefined);
  const readable = inputs.every(({ dtype }) => isNumeric(dtype) || dtype === 'string');
  if (!typed || !readable || inputs.length < names.length) return undefined;
  return Object.fromEntries(names.map(({ name }, index) => [name, toNdArray(inputs[index]!)]));
}
