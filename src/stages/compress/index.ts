import { digestDataset, type DataConfig } from '../../data/index.js';
import { defineStage } from '../../plugin/api.js';
import { describeCpu } from '../../runtime/cpu.js';
import { compressOptions, type CompressOptions } from './config.js';
import { compressTasks } from './tasks.js';

export { fileOptions, type CompressOptions, type FileOptions } from './config.js';
export { convertOpsetPass } from './passes/convert-opset.js';
export { createDistillPass, type Students } from './passes/distill.js';
export { equalizeLayersPass } from './passes/equalize-layers.js';
export { factorizePass } from './passes/factorize.js';
export { foldPass } from './passes/fold.js';
export { cleanupPasses } from './passes/cleanup/index.js';
export { prunePass } from './passes/prune.js';
export { pruneUnitsPass } from './passes/prune-units.js';
export { qatPass } from './passes/qat.js';
export { quantizeEmbeddingsPass } from './passes/quantize-embeddings.js';
export { quantizePass } from './passes/quantize.js';
export { smoothQuantPass } from './passes/smooth-quant.js';
export { storeBytesPass } from './passes/store-bytes.js';
export { storeHalvesPass } from './passes/store-halves.js';
export { toStaticShapesPass } from './passes/to-static-shapes.js';

/** Makes the model smaller and faster, and proves that it stayed as good. */
export const compressStage = defineStage<CompressOptions>({
  name: 'compress',
  summary: 'Rewrite the model to be smaller and faster, within the gates.',
  after: 'train',
  options: compressOptions,
  reads: ['model'],
  writes: 'model',
  version: 4,
  async key({ project, options, registry, signal }) {
    const { root, seed, config } = project;
    const names = options.auto ? [...registry.passes.keys()] : options.passes.map(({ name }) => name);
    const versions = names.map((name) => [name, registry.passes.get(name)!.version] as const);
    return {
      data: await digestDataset(config['data'] as DataConfig, { root, seed, signal }),
      passes: Object.fromEntries(versions),
      // The latency gate holds for the processor that it was measured on.
      cpu: await describeCpu(),
    };
  },
  tasks: compressTasks,
});
