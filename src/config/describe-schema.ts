import { z } from 'zod';

/**
 * JSON Schema of what a person may write for `schema`. Draft 7, because that is what editors' YAML support knows best.
 * Checks that JSON Schema cannot express are left out; the real validation happens when the file is loaded.
 */
export function describeSchema(schema: z.ZodType): Record<string, unknown> {
  const described: Record<string, unknown> = z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-07',
    unrepresentable: 'any',
  });
  delete described['$schema'];
  return described;
}
