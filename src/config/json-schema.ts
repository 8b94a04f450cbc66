import type { Registry } from '../plugin/api.js';
import { dataSchema } from '../data/config.js';
import { composeSchema } from './compose.js';
import { describeSchema } from './describe-schema.js';

/** JSON Schema (draft 7) of maas.config.yaml with everything that is registered, for editors. */
export function jsonSchema(registry: Registry): Record<string, unknown> {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'maas.config.yaml',
    description:
      'From data to a served release: one file for `maas train`, `compress`, `deploy` and `serve`.',
    ...describeSchema(composeSchema(registry, dataSchema)),
  };
}
