import { defineService } from '../../plugin/api.js';
import { serveOptions, type ServeOptions } from './config.js';

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
    // Loaded here, so that naming the service costs other commands nothing.
    const { startServing } = await import('./serve.js');
    return startServing(context);
  },
});
