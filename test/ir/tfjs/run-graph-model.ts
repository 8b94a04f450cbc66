import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Model } from '../../../src/ir/graph.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import { encodeGraphModel } from '../../../src/ir/tfjs/encode-graph-model.js';
import { toGraphModel } from '../../../src/ir/tfjs/graph-model.js';
import { toTensor } from '../../../src/ir/tfjs/interpret.js';
import type { Tensor, Tf } from '../../../src/ir/tfjs/tf.js';

interface Loaded {
  execute(inputs: Record<string, Tensor>, outputs: string | string[]): Tensor | Tensor[];
  predict(inputs: Record<string, Tensor>): Tensor | Record<string, Tensor>;
  dispose(): void;
}

export type TfWithModels = Tf & {
  loadGraphModel(url: string): Promise<Loaded>;
  setBackend(name: string): Promise<boolean>;
};

/** Writes a model down as a graph model, and has TensorFlow.js load and run its files. */
export async function runGraphModel(
  tf: Tf,
  model: Model,
  feeds: Readonly<Record<string, NdArray>>,
  folder: string,
): Promise<Record<string, NdArray>> {
  await mkdir(folder, { recursive: true });
  for (const [file, bytes] of encodeGraphModel(toGraphModel(model), 'test'))
    await writeFile(join(folder, file), bytes);
  const loaded = await (tf as TfWithModels).loadGraphModel(`file://${join(folder, 'model.json')}`);
  try {
    return tf.tidy(() => {
      const inputs = Object.fromEntries(
        Object.entries(feeds).map(([name, array]) => [name, toTensor(tf, array)]),
      );
      const names = model.graph.outputs.map(({ name }) => name);
      const made = loaded.execute(inputs, names);
      const list = Array.isArray(made) ? made : [made];
      return Object.fromEntries(
        list.map((tensor, at): [string, NdArray] => [
          names[at]!,
          { dtype: tensor.dtype, dims: tensor.shape, data: tensor.dataSync().slice() },
        ]),
      );
    });
  } finally {
    loaded.dispose();
  }
}
