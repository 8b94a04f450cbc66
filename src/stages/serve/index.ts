import { defineService } from '../../plugin/api.js';
import { serveOptions, type ServeOptions } from './config.js';
import { startSpare } from './start-spare.js';

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
    const { source, options, cache } = context;
    const spare =
      context.spare ??
      (await startSpare(source, {
        workers: options.workers,
        ...(options.prepare && cache !== undefined && { cache }),
      }));
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
