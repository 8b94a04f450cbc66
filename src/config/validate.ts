import type { z } from 'zod';
import { describeSchema } from './describe-schema.js';
import { toError } from './diagnostics.js';
import { toPlain, type Located } from './located.js';
import { phrase } from './phrase.js';

/**
 * Checks `root` against `schema` and fills in defaults.
 * @throws MaasError MAAS_CONFIG_INVALID or MAAS_CONFIG_UNKNOWN_KEY, with every other mistake in `others`.
 */
export function validate<T>(root: Located, schema: z.ZodType<T>): T {
  const result = schema.safeParse(toPlain(root), { error: phrase });
  if (result.success) return result.data;
  throw toError(result.error.issues, root, describeSchema(schema));
}
