import { access } from 'node:fs/promises';
import { resolve } from 'node:path';
import { digestFile } from '../../../artifacts/index.js';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import type { Model } from '../../../ir/graph.js';
import { kerasFiles, loadKeras } from '../../../ir/keras/load.js';
import { loadModel, loadWeights } from '../../../ir/onnx/load.js';
import { hoistConstants, liftConstants } from '../../../ir/rewrite.js';
import { isFileRange } from '../../../ir/tensor.js';
import type { Project } from '../../../plugin/api.js';
import type { ModelSource } from './config.js';
import { openModule } from './open-module.js';

/** Gradients add up with ScatterElements, which has done so since operator set 16. */
const wantedOpset = 16;

/** Between these two operator sets only RoiAlign came to mean something else. */
const sameSinceOpset = 14;

/**
 * Reads the model that `train.model` names, with all weights in memory and as initializers.
 * @throws MaasError MAAS_MODEL_INVALID when it is missing or no whole model, MAAS_MODEL_UNSUPPORTED for a Keras model
 * with layers that maas cannot import.
 */
export async function openFile(project: Project, source: ModelSource): Promise<Model> {
  const path = await pathOf(project, source);
  switch (source.key) {
    case 'keras':
      return loadKeras(path);
    case 'module':
      return openModule(path, project);
    case 'onnx': {
      const model = await loadWeights(await loadModel(path));
      return { ...raiseOpset(model), graph: hoistConstants(liftConstants(model.graph)) };
    }
  }
}

/**
 * sha256 of the file and of the files beside it that hold its weights, by name. What a module imports is not looked at.
 * @throws MaasError as `openFile`.
 */
export async function digestModel(
  project: Project,
  source: ModelSource,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const files = await filesOf(await pathOf(project, source), source);
  const digests = await Promise.all(files.map((file) => digestFile(file, { signal })));
  return Object.fromEntries(digests.map((digest, index) => [`file${index}`, digest]));
}

async function filesOf(path: string, { key }: ModelSource): Promise<string[]> {
  if (key === 'module') return [path];
  if (key === 'keras') return kerasFiles(path);
  const { graph } = await loadModel(path);
  const ranges = [...graph.initializers.values()].flatMap(({ data }) =>
    isFileRange(data) ? [data.path] : [],
  );
  return [path, ...[...new Set(ranges)].sort()];
}

async function pathOf(project: Project, { key, file }: ModelSource): Promise<string> {
  const path = resolve(project.root, file);
  try {
    await access(path);
  } catch (cause) {
    throw new MaasError('MAAS_MODEL_INVALID', `there is no model ${file}`, {
      place: placeIn(project, ['train', 'model', key]),
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
