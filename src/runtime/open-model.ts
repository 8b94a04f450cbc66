import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Model } from '../ir/graph.js';
import { loadWeights } from '../ir/onnx/external.js';
import { encodeModel, needsExternal, saveModel } from '../ir/onnx/save.js';
import { openSession, type Session, type SessionOptions } from './session.js';

/**
 * Opens a graph that is in no file. One whose weights do not fit in 2 GiB goes through a temporary file, weight by weight,
 * which is gone when the session is open: onnxruntime maps it, or has read it by then.
 * @throws MaasError MAAS_MODEL_INVALID when onnxruntime refuses the model, MAAS_DISK when there is no room for the file.
 */
export async function openModel(model: Model, options: SessionOptions = {}): Promise<Session> {
  if (!needsExternal(model)) return openSession(encodeModel(await loadWeights(model)), options);
  const folder = await mkdtemp(join(tmpdir(), 'maas-model-'));
  try {
    const path = join(folder, 'model.onnx');
    await saveModel(model, path, { external: true });
    return await openSession(path, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
