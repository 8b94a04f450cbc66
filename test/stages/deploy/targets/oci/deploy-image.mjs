// node deploy-image.mjs ROOT DIRECTORY BASE RELEASE DIGEST: builds an image with the compiled target, on whichever Node runs this.
import { ociTarget } from '../../../../../dist/internals/deploy.js';

const [root, directory, base, path, digest] = process.argv.slice(2);
const context = {
  project: { name: 'plain', seed: 0, root, configFile: `${root}/maas.config.yaml`, config: {} },
  options: ociTarget.options.parse({ directory, base }),
  keep: 5,
  signal: new globalThis.AbortController().signal,
  verify: () => Promise.resolve({ readyMs: 1, rows: 1, maxError: 0 }),
};
for (const step of ociTarget.steps(context, { path, digest })) await step.run(() => undefined);
console.log(process.version);
