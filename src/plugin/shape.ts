import { z } from 'zod';
import { apiVersion } from './api.js';

// Plugins are JavaScript as often as TypeScript: what they hand over is checked before anything relies on it. The
// originals are used afterwards, so that class instances keep their methods.

const method = z.custom<(...args: never[]) => unknown>(
  (value) => typeof value === 'function',
  'expected a function',
);
const optionalMethod = method.optional();
const schema = z.custom<z.ZodType>(
  (value) => typeof value === 'object' && value !== null && '_zod' in value,
  'expected a zod 4 schema; use the `z` that maas-cli exports',
);
const kind = z.enum(['model', 'release']);

const described = {
  name: z.string().regex(/^[a-z][A-Za-z0-9-]*$/, 'expected a letter, then letters, digits and "-"'),
  summary: z.string().min(1),
};

/** What a plugin may answer to `maas:register`, as far as it can be checked without running it. */
export const registrationShape = z.strictObject({
  apiVersion: z.literal(apiVersion),
  stages: z
    .array(
      z.looseObject({
        ...described,
        after: z.string().optional(),
        options: method,
        reads: z.array(kind),
        writes: kind,
        version: z.int(),
        key: optionalMethod,
        tasks: method,
        effect: z.looseObject({ inPlace: method, tasks: method }).optional(),
      }),
    )
    .optional(),
  services: z.array(z.looseObject({ ...described, options: method, start: method })).optional(),
  engines: z
    .array(
      z.looseObject({
        ...described,
        options: schema.optional(),
        unavailable: optionalMethod,
        install: optionalMethod,
        train: method,
      }),
    )
    .optional(),
  passes: z.array(z.looseObject({ ...described, options: schema, version: z.int(), run: method })).optional(),
  targets: z
    .array(
      z.looseObject({
        ...described,
        options: schema,
        current: method,
        link: optionalMethod,
        steps: method,
        list: method,
        rollback: method,
      }),
    )
    .optional(),
  protocols: z.array(z.looseObject({ ...described, handle: method })).optional(),
  unread: z.array(z.string()).optional(),
});
