import { expect, it } from 'vitest';
import { passModels } from '../../../conformance/pass-models.js';
import { cleanupModels } from '../../../conformance/cleanup-models.js';
import { compress, makeFolder, relaxed } from './order.js';

// One of them takes three rows and no other number, which nobody can guess.
const models = [...passModels(), ...cleanupModels()].filter(
  ({ name }) => name !== 'nodes that change nothing',
);

it.each(models)('a file may be $name', async ({ model }) => {
  const result = await compress(await makeFolder(), model, { set: [relaxed] });
  expect(result.metrics['signalToNoise'] ?? Infinity).toBeGreaterThan(20);
  expect(result.metrics['sizeRatio']).toBeLessThanOrEqual(1);
});
