import { expect, it } from 'vitest';
import {
  cleanupPasses,
  convertOpsetPass,
  equalizeLayersPass,
  factorizePass,
  foldPass,
  prunePass,
  pruneUnitsPass,
  quantizeEmbeddingsPass,
  quantizePass,
  smoothQuantPass,
  storeBytesPass,
  storeHalvesPass,
} from '../../src/stages/compress/index.js';
import { classifier, flowers } from '../evaluate/models.js';
import { cleanupModels, embeddingModels, oldModels } from './cleanup-models.js';
import { contextOf, describePass, mixesRows } from './pass-suite.js';

describePass(storeHalvesPass, {}, 60);
describePass(storeBytesPass, {}, 30);
describePass(quantizeEmbeddingsPass, {}, 35, { keepsRowsApart: false }, embeddingModels);

for (const pass of cleanupPasses) describePass(pass, {}, 100, { keepsRowsApart: false }, cleanupModels);

describePass(convertOpsetPass, {}, 100, undefined, oldModels);
describePass(quantizePass, {}, 30, undefined, oldModels);

const mixed = { keepsRowsApart: false };

describePass(foldPass, {}, 100);
describePass(equalizeLayersPass, {}, 80);
describePass(smoothQuantPass, {}, 80);
describePass(factorizePass, { energy: 0.95, minElements: 1 }, 8, { keepsRowsApart: true, repeats: true });
describePass(prunePass, { sparsity: 0.3, minElements: 1 }, 5);
describePass(prunePass, { method: 'sparsegpt', pattern: '3:4', minElements: 1 }, 10);
describePass(pruneUnitsPass, { multiple: 1 }, 3, { keepsRowsApart: true, repeats: true });
describePass(quantizePass, {}, 30);
describePass(quantizePass, { minElements: 1, perChannel: false, reduceRange: true }, 20);
describePass(quantizePass, { calibration: { method: 'mse' } }, 30);
describePass(quantizePass, { mode: 'weights' }, 12);
describePass(quantizePass, { mode: 'weights', bits: 8, block: 16, minElements: 1 }, 30);
describePass(quantizePass, { mode: 'weights', unpack: 'load', block: 128 }, 12);
describePass(quantizePass, { mode: 'dynamic' }, 30, mixed);
describePass(
  quantizePass,
  { mode: 'dynamic', minElements: 1, perChannel: false, reduceRange: true },
  20,
  mixed,
);

it('the suite sees rows that depend on their neighbours', async () => {
  const feeds = { features: flowers(4) };
  const { model } = await quantizePass.run(
    classifier(64),
    quantizePass.options.parse({ mode: 'dynamic' }),
    contextOf(feeds),
  );
  expect(await mixesRows(model, feeds)).toBe(true);
});
