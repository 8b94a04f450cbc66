import { z } from 'zod';
import { MaasError } from '../errors.js';
import type { Registry, Service, Stage } from '../plugin/api.js';

/** The project's name is part of every artifact and of the served model's URL. */
const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$/, {
    error:
      'expected up to 64 lower-case letters, digits, ".", "_" and "-", with a letter or digit at both ends',
  })
  .describe('Name of the project and of the model that it serves. Part of every artifact.');

const seed = z
  .int()
  .min(0)
  .max(0xffff_ffff)
  .default(0)
  .describe(
    'Seed of everything random: split, initial weights, shuffling. The same seed gives the same artifacts.',
  );

/** Read before all else, because plugins bring sections of their own. */
export const pluginList = z
  .array(z.string().min(1).describe('Package name, or path that starts with ./ or ../'))
  .default([])
  .describe(
    'Plugins of this project: packages installed in it (maas-plugin-prune) or folders beside this file (./plugins/prune).',
  );

/**
 * The schema of the whole file: the fixed keys, and a section for each stage and service that is registered. Sections
 * are optional unless their schema has a default, except one: if only one stage starts from nothing, no other could run
 * without it.
 *
 * @param data The schema of what every project has to say of its data. Undefined where the command line names a model, which has
 * a name and needs no data: the file may do without both.
 */
export function composeSchema(
  registry: Registry,
  data: z.ZodType | undefined,
): z.ZodType<Record<string, unknown>> {
  const starts = registry.stages.filter(({ reads }) => reads.length === 0);
  const sections = Object.fromEntries([
    ...registry.stages.map((stage) => {
      const schema = sectionOf(stage, registry);
      return [stage.name, data && starts.length === 1 && stage === starts[0] ? schema : orAbsent(schema)];
    }),
    ...[...registry.services.values()].map((service) => [
      service.name,
      orDefaults(sectionOf(service, registry)),
    ]),
  ]) as Record<string, z.ZodType>;
  return z.strictObject({
    ...Object.fromEntries((registry.unread ?? []).map((section) => [section, z.unknown().optional()])),
    name: data ? name : name.default('model'),
    seed,
    plugins: pluginList,
    data: data?.describe('Where the rows come from, and which column to predict.') ?? z.unknown().optional(),
    ...sections,
  });
}

function sectionOf({ name, summary, ...definition }: Stage | Service, registry: Registry): z.ZodType {
  try {
    // Not after a look for a description of its own: that would work out the JSON Schema of everything in it.
    return definition.options(registry).describe(summary);
  } catch (cause) {
    throw new MaasError('MAAS_PLUGIN_FAILED', `the options of "${name}" cannot be worked out`, { cause });
  }
}

function orAbsent(schema: z.ZodType): z.ZodType {
  return accepts(schema, undefined) ? schema : schema.optional();
}

/** A service with defaults for everything needs no section at all. */
function orDefaults(schema: z.ZodType): z.ZodType {
  return !accepts(schema, undefined) && accepts(schema, {}) ? schema.prefault({}) : orAbsent(schema);
}

function accepts(schema: z.ZodType, value: unknown): boolean {
  return schema.safeParse(value).success;
}
