import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { digestFile } from '../../../artifacts/index.js';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import type { Model } from '../../../ir/graph.js';
import { loadModel, loadWeights } from '../../../ir/onnx/load.js';
import { liftConstants } from '../../../ir/rewrite.js';
import { isFileRange } from '../../../ir/tensor.js';
import type { Project } from '../../../plugin/api.js';

/** Gradients add up with ScatterElements, which has done so since operator set 16. */
const wantedOpset = 16;

/** Between these two operator sets only RoiAlign came to mean something else. */
const sameSinceOpset = 14;

/**
 * Reads the model that `train.model.onnx` names, with all weights in memory and as initializers.
 * @throws MaasError MAAS_MODEL_INVALID when it is missing or no whole ONNX model.
 */
export async function openFile(project: Project, file: string): Promise<Model> {
  const model = await loadWeights(await loadModel(await pathOf(project, file)));
  return { ...raiseOpset(model), graph: liftConstants(model.graph) };
}

/**
 * sha256 of the file and of the files beside it that hold its weights, by name.
 * @throws MaasError as `openFile`.
 */
export async function digestModel(
  project: Project,
  file: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const path = await pathOf(project, file);
  const { graph } = await loadModel(path);
  const ranges = [...graph.initializers.values()].flatMap(({ data }) =>
    isFileRange(data) ? [data.path] : [],
  );
  const digests = [path, ...[...new Set(ranges)].sort()].map((each) => digestFile(each, { signal }));
  return Object.fromEntries((await Promise.all(digests)).map((digest, index) => [`file${index}`, digest]));
}

async function pathOf(project: Project, file: string): Promise<string> {
  const path = resolve(project.root, file);
  try {
    await access(path);
  } catch (cause) {
    throw new MaasError('MAAS_MODEL_INVALID', `there is no model ${file}`, {
      place: placeIn(project, ['train', 'model', 'onnx']),
      hint: 'Paths are relative to the config file.',
      cause,
    });
  }
  return path;
}

/** tf2onnx writes operator set 15 by default. */
function raiseOpset(model: Model): Model {
  const opset = model.opsets[''] ?? model.opsets['ai.onnx'] ?? 0;
  const raised = opset >= sameSinceOpset && opset < wantedOpset;
  if (!raised || model.graph.nodes.some(({ op }) => op === 'RoiAlign')) return model;
  return { ...model, opsets: { ...model.opsets, '': wantedOpset } };
}
