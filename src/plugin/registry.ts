import { MaasError } from '../errors.js';
import { apiVersion, type Registration, type Registry } from './api.js';
import { orderStages, type OwnedStage } from './order-stages.js';
import { registrationShape } from './shape.js';

export interface RegistryEntry {
  /** Name of the plugin's package, for messages. */
  readonly plugin: string;
  /** What it answered to `maas:register`; checked here. */
  readonly registration: unknown;
}

/** Top-level keys of the config that are fixed: no stage or service may be called by them. */
export const reservedSections: readonly string[] = ['name', 'seed', 'plugins', 'data'];

/**
 * Joins what plugins registered. The first entry is the built-ins: its stages are the main line of the pipeline.
 * @throws MaasError MAAS_PLUGIN_FAILED for a malformed registration, MAAS_PLUGIN_CONFLICT when two plugins (or one twice)
 *   register the same name.
 */
export function createRegistry(entries: readonly RegistryEntry[]): Registry {
  const checked = entries.map(({ plugin, registration }) => ({
    plugin,
    registration: check(plugin, registration),
  }));
  const owners = new Map<string, string>();
  const stages: OwnedStage[] = [];

  function claim(plugin: string, what: string, name: string, space = what): void {
    const owner = owners.get(`${space}/${name}`);
    if (owner !== undefined) {
      throw new MaasError(
        'MAAS_PLUGIN_CONFLICT',
        `${owner} and ${plugin} both register the ${what} "${name}"`,
        {
          details: { plugins: [owner, plugin] },
          ...(owner === plugin && { hint: `Report this to the author of ${plugin}.` }),
        },
      );
    }
    owners.set(`${space}/${name}`, plugin);
  }

  /** Stages and services share the top level of the config, with each other and with its fixed keys. */
  function claimSection(plugin: string, what: string, name: string): void {
    if (reservedSections.includes(name))
      fail(plugin, `the ${what} "${name}" bears the name of a fixed config key`);
    claim(plugin, what, name, 'section');
  }

  function collect<T extends { readonly name: string }>(
    what: string,
    pick: (registration: Registration) => readonly T[] | undefined,
    claimName = claim,
  ): Map<string, T> {
    const all = new Map<string, T>();
    for (const { plugin, registration } of checked) {
      for (const item of pick(registration) ?? []) {
        claimName(plugin, what, item.name);
        all.set(item.name, item);
      }
    }
    return all;
  }

  for (const { plugin, registration } of checked) {
    for (const stage of registration.stages ?? []) {
      claimSection(plugin, 'stage', stage.name);
      stages.push({ stage, plugin });
    }
  }
  const unread = checked.flatMap(({ registration }) => registration.unread ?? []);
  return Object.freeze({
    unread,
    services: collect('service', ({ services }) => services, claimSection),
    engines: collect('engine', ({ engines }) => engines),
    passes: collect('pass', ({ passes }) => passes),
    targets: collect('target', ({ targets }) => targets),
    protocols: collect('protocol', ({ protocols }) => protocols),
    stages: Object.freeze(orderStages(stages, unread)),
  });
}

function check(plugin: string, registration: unknown): Registration {
  const stated = (registration as { apiVersion?: unknown } | null | undefined)?.apiVersion;
  if (typeof stated === 'number' && stated !== apiVersion) {
    const newer = stated > apiVersion ? 'maas' : 'the plugin';
    throw new MaasError(
      'MAAS_PLUGIN_FAILED',
      `${plugin} was written for plugin API ${stated}, this maas has ${apiVersion}`,
      { hint: `Update ${newer}.` },
    );
  }
  const result = registrationShape.safeParse(registration);
  if (result.success) return registration as Registration;
  const faults = result.error.issues.map(
    ({ path, message }) => `${path.join('.') || 'the answer'}: ${message}`,
  );
  return fail(plugin, `wrong answer to maas:register: ${faults.join('; ')}`);
}

function fail(plugin: string, what: string): never {
  throw new MaasError('MAAS_PLUGIN_FAILED', `${plugin}: ${what}`, {
    hint: `Report this to the author of ${plugin}.`,
  });
}
