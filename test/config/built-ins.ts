import type { Hook } from '@oclif/core';
import type { Registry } from '../../src/plugin/api.js';
import { createRegistry } from '../../src/plugin/registry.js';
import register from '../../src/stages/register.js';

/** What maas brings by itself, as the running program collects it. */
export async function builtIns(): Promise<Registry> {
  const registration = await register.call({} as Hook.Context, {} as Parameters<typeof register>[0]);
  return createRegistry([{ plugin: 'maas-cli', registration }]);
}
