import { defineEngine } from '../../../../plugin/api.js';
import { commandOptions } from './options.js';

export const commandEngine = defineEngine({
  name: 'command',
  summary: 'runs your own trainer (PyTorch, torchrun, anything) and takes the ONNX model that it leaves',
  options: commandOptions,
  ownsModel: true,
  unavailable: () =>
    Promise.resolve(
      process.platform === 'win32'
        ? { reason: 'it needs the process groups of POSIX', hint: 'Run maas in WSL.' }
        : undefined,
    ),
  // Loaded on demand, both: other commands should not pay for them.
  key: async (...given) => (await import('./key.js')).keyOf(...given),
  train: async (...given) => (await import('./train.js')).train(...given),
});
