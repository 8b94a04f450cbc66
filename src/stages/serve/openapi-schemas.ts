import type { Feature, Port } from '../../data/signature.js';
import type { DType } from '../../ir/tensor.js';
import { datatypeOf } from './json/tensors.js';

export type Schema = Readonly<Record<string, unknown>>;

const integer = (minimum: number | bigint, maximum: number | bigint): Schema => ({
  type: 'integer',
  minimum,
  maximum,
});
const real = (limit: number): Schema => ({
  type: 'number',
  exclusiveMinimum: -limit,
  exclusiveMaximum: limit,
});

/** From here on the nearest float32, and half float by way of one, is infinity. */
const [singleLimit, halfLimit] = [2 ** 128 - 2 ** 103, 65_520 - 2 ** -9];

/** onnxruntime takes text as C strings. */
const text: Schema = { type: 'string', pattern: String.raw`^[^\u0000]*$` };

const elements: Partial<Record<DType, Schema>> = {
  bool: { type: 'boolean' },
  uint8: integer(0, 255),
  uint16: integer(0, 65_535),
  uint32: integer(0, 2 ** 32 - 1),
  uint64: integer(0, 2n ** 64n - 1n),
  int8: integer(-128, 127),
  int16: integer(-32_768, 32_767),
  int32: integer(-(2 ** 31), 2 ** 31 - 1),
  int64: integer(-(2n ** 63n), 2n ** 63n - 1n),
  float16: real(halfLimit),
  float32: real(singleLimit),
  float64: { type: 'number' },
  string: text,
};

/** Of one row of a tensor, as nested lists; a size that is not fixed may be any. */
export function rowSchema({ dtype, shape }: Port): Schema {
  return nest(shape.slice(1), elements[dtype] ?? {});
}

function nest(shape: readonly (number | string)[], element: Schema): Schema {
  return shape.reduceRight<Schema>(
    (items, size) => ({
      type: 'array',
      items,
      ...(typeof size === 'number' && { minItems: size, maxItems: size }),
    }),
    element,
  );
}

/** A number that JSON has no word for is null in an answer. */
export function answerRowSchema({ dtype, shape }: Port): Schema {
  const element = elements[dtype] ?? {};
  return nest(
    shape.slice(1),
    dtype.includes('float') ? { anyOf: [{ type: 'number' }, { type: 'null' }] } : element,
  );
}

/** A tensor of the Open Inference Protocol; `data` is flat, or nested as its shape says. */
export function tensorSchema({ name, dtype, shape }: Port): Schema {
  return tensor(name, dtype, {
    prefixItems: shape.map((size) =>
      typeof size === 'number' ? { type: 'integer', const: size } : { type: 'integer', minimum: 0 },
    ),
    minItems: shape.length,
    maxItems: shape.length,
  });
}

/** One of an answer. Readers of documents are less at home with prefixItems there. */
export function answerTensorSchema({ name, dtype, shape }: Port): Schema {
  const items = { type: 'integer', minimum: 0 };
  return tensor(name, dtype, { items, minItems: shape.length, maxItems: shape.length });
}

function tensor(name: string, dtype: DType, shape: Schema): Schema {
  return object({
    name: { type: 'string', const: name },
    datatype: { type: 'string', const: datatypeOf(dtype) },
    shape: { type: 'array', ...shape },
    data: { type: 'array' },
  });
}

/** Of a feature as callers of `/predict` write it. */
export function featureSchema({ type, min, max, categories, shape = [], ids, missing }: Feature): Schema {
  const schema = ((): Schema => {
    if (type === 'array') {
      return nest(shape, ids === undefined ? real(singleLimit) : integer(0, ids - 1));
    }
    if (type === 'image') {
      return { type: 'string', contentEncoding: 'base64', contentMediaType: 'image/*' };
    }
    if (type !== 'number') return { ...text, ...(categories && { examples: categories }) };
    const seen =
      min === undefined || max === undefined ? {} : { description: `From ${min} to ${max} in training.` };
    return { ...real(singleLimit), ...seen };
  })();
  return missing ? { anyOf: [schema, { type: 'null' }] } : schema;
}

export function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = Object.keys(properties),
): Schema {
  return { type: 'object', properties, required };
}

/** With no other field. */
export function closed(schema: Schema): Schema {
  return { ...schema, additionalProperties: false };
}

export const oneOrMany = (schema: Schema): Schema => ({ oneOf: [schema, { type: 'array', items: schema }] });

/** As JSON, which holds whole numbers that JSON.stringify does not know. */
export function printSchema(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(printSchema).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return `{${entries.map(([name, part]) => `${JSON.stringify(name)}:${printSchema(part)}`).join(',')}}`;
}
