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
    const { source, options, cache, isPart } = context;
    if (options.processes !== 1 && !isPart) {
      const { countProcesses } = await import('./processes/share.js');
      const processes = countProcesses(options);
      if (processes > 1) {
        // Each has its own.
        await context.spare?.close();
        return (await import('./processes/primary.js')).startProcesses(context, processes);
      }
    }
    const spare =
      context.spare ??
      (await startSpare(source, {
        workers: options.workers,
        ...(options.prepare && cache !== undefined && { cache }),
      }));
    try {
      if (isPart) return await (await import('./processes/part.js')).servePart(context, spare);
      // Loaded here, so that naming the service costs other commands nothing.
      const { startServing } = await import('./serve.js');
      return await startServing(context, spare);
    } catch (error) {
      await spare?.close();
      throw error;
    }
  },
});
