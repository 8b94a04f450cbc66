import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defineService, type ServiceContext } from '../../plugin/api.js';
import { serveOptions, type ServeOptions } from './config.js';
import { largestToTry } from './placement.js';
import type { SpareThread } from './workers/spare-thread.js';

export { openInferenceProtocol } from './protocols/open-inference/index.js';
export { generateProtocol } from './protocols/generate.js';
export { predictProtocol } from './protocols/predict.js';
export { tfServingProtocol } from './protocols/tf-serving.js';

/** Serves a release over HTTP with every registered protocol. */
export const serveService = defineService<ServeOptions>({
  name: 'serve',
  summary: 'Serve the current release over HTTP',
  options: () => serveOptions,
  async start(context) {
    const spare = await startSpare(context);
    try {
      // Loaded here, so that naming the service costs other commands nothing.
      const { startServing } = await import('./serve.js');
      return await startServing(context, spare);
    } catch (error) {
      await spare?.close();
      throw error;
    }
  },
});

/** A thread takes as long to start as all the rest: where there will be one, both at once. */
async function startSpare({
  options,
  source,
}: ServiceContext<ServeOptions>): Promise<SpareThread | undefined> {
  if (source.kind === 'repository' || options.workers === 0) return undefined;
  const path = source.kind === 'file' ? source.path : join(source.path, 'model.onnx');
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (options.workers === 'auto' && size <= largestToTry) return undefined;
  const { SpareThread } = await import('./workers/spare-thread.js');
  return new SpareThread();
}
