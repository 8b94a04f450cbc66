import type { Config } from '@oclif/core';
import { MaasError } from '../errors.js';
import type { Registry } from './api.js';
import type { RegisterOptions } from './hook.js';
import { createRegistry, type RegistryEntry } from './registry.js';

/** Answering takes milliseconds; a plugin that has not answered by then is stuck. */
const answerTimeoutMs = 30_000;

/**
 * Asks every plugin of `config` what it brings. The built-ins are the root plugin's answer and come first; the others
 * follow by name, so that the result does not depend on who answered faster.
 *
 * @param options.sections Those of the config that are read; the built-ins leave out what is for others.
 * @throws MaasError MAAS_PLUGIN_FAILED naming the plugin, when one throws, never answers or answers nonsense;
 *   MAAS_PLUGIN_CONFLICT when two bring the same name.
 */
export async function loadRegistry(
  config: Config,
  { timeoutMs = answerTimeoutMs, ...options }: RegisterOptions & { readonly timeoutMs?: number } = {},
): Promise<Registry> {
  // oclif's own timer does not keep the process alive, and a hook that waits for nothing would let it end.
  const alive = setInterval(() => undefined, timeoutMs);
  try {
    // Errors are captured: oclif collects most in `failures`, but would throw those that carry an exit code.
    const { failures, successes } = await config.runHook('maas:register', options, timeoutMs, true);
    const [failure] = [...failures].sort((a, b) => compare(a.plugin.name, b.plugin.name));
    if (failure) throw toError(failure.plugin.name, failure.error);
    const answered = new Set(successes.map(({ plugin }) => plugin.name));
    for (const { name, hooks } of config.getPluginsList()) {
      if (hooks['maas:register'] && !answered.has(name)) {
        throw toError(name, new Error('its maas:register file exports no function'));
      }
    }
    const entries = successes.map(({ plugin, result }): RegistryEntry => ({
      plugin: plugin.name,
      registration: result,
    }));
    const isRoot = ({ plugin }: RegistryEntry): boolean => plugin === config.name;
    entries.sort((a, b) => Number(isRoot(b)) - Number(isRoot(a)) || compare(a.plugin, b.plugin));
    return createRegistry(entries);
  } finally {
    clearInterval(alive);
  }
}

function toError(plugin: string, cause: unknown): MaasError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MaasError('MAAS_PLUGIN_FAILED', `${plugin}: ${reason.split('\n')[0]!}`, {
    cause,
    details: { plugin },
  });
}

/** By code unit, the same under every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
