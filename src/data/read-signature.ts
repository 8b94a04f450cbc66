import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { MaasError } from '../errors.js';
import { dtypes } from '../ir/tensor.js';
import type { Signature } from './signature.js';

const featureSchema = z.strictObject({
  name: z.string(),
  type: z.enum(['number', 'category', 'text', 'array', 'image']),
  input: z.string(),
  column: z.int().nonnegative(),
  shape: z.array(z.int().positive()).optional(),
  ids: z.int().positive().optional(),
  image: z
    .strictObject({
      height: z.int().positive(),
      width: z.int().positive(),
      channels: z.literal([1, 3, 4]),
      fit: z.enum(['cover', 'contain', 'fill']),
      background: z.string(),
      decoder: z.string(),
    })
    .optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  categories: z.array(z.string()).optional(),
  missing: z
    .strictObject({ fill: z.union([z.number(), z.string()]), written: z.array(z.string()) })
    .optional(),
});

const portSchema = z.strictObject({
  name: z.string(),
  dtype: z.enum(dtypes),
  shape: z.array(z.union([z.int().nonnegative(), z.string()])),
});

const signatureSchema = z.strictObject({
  schemaVersion: z.literal(1),
  name: z.string(),
  task: z.enum(['classification', 'regression']),
  features: z.array(featureSchema).min(1),
  inputs: z.array(portSchema).min(1),
  outputs: z.array(portSchema).min(1),
  target: z.strictObject({ name: z.string(), labels: z.array(z.string()).min(2).optional() }),
  others: z
    .array(
      z.strictObject({
        name: z.string(),
        task: z.enum(['classification', 'regression']),
        labels: z.array(z.string()).min(2).optional(),
      }),
    )
    .optional(),
  generates: z.strictObject({ feature: z.string(), context: z.int().positive() }).optional(),
  reconstructs: z.literal(true).optional(),
  data: z.strictObject({ digest: z.string() }),
}) satisfies z.ZodType<Signature>;

/**
 * Reads and checks a `signature.json`.
 * @throws MaasError MAAS_ARTIFACT_CORRUPT when it is missing, no JSON, or not a signature.
 */
export async function readSignature(path: string): Promise<Signature> {
  const place = { file: path };
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const what = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new MaasError(
      'MAAS_ARTIFACT_CORRUPT',
      `the model's signature ${what}: ${(error as Error).message}`,
      {
        place,
        cause: error,
      },
    );
  }
  const parsed = signatureSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const where = issue.path.length > 0 ? issue.path.join('.') : 'the whole file';
  throw new MaasError(
    'MAAS_ARTIFACT_CORRUPT',
    `the model's signature is not valid at ${where}: ${issue.message}`,
    {
      place,
    },
  );
}
