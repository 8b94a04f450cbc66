import { defineEngine } from '../../../../plugin/api.js';
import { tfjsNodeOptions } from './options.js';
import { findPackage, packageName, packageVersion } from '../../../../runtime/tfjs-package.js';

// What trains and what installs is loaded on demand: every command registers the engine, few use it.
export const tfjsNodeEngine = defineEngine({
  name: 'tfjs-node',
  summary: 'trains with TensorFlow, through @tensorflow/tfjs-node',
  options: tfjsNodeOptions,
  // TensorFlow.js differentiates by itself, and has no operator that stops a gradient.
  withoutLosses: ['triplet'],
  unavailable: (places) =>
    Promise.resolve(
      findPackage(places) === undefined
        ? {
            reason: `${packageName} with its native library is not installed`,
            hint: 'Run `maas engines install tfjs-node`.',
          }
        : undefined,
    ),
  key: () => Promise.resolve({ tfjsNode: packageVersion }),
  install: (options) => [
    {
      title: 'install tfjs-node',
      task: async (_context, task) => {
        const { installTasks } = await import('./install/index.js');
        return task.newListr(installTasks(options), { concurrent: false });
      },
    },
  ],
  async train(job) {
    const { train } = await import('./train.js');
    return train(job);
  },
});
