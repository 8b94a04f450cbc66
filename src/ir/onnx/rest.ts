import {
  create,
  fromBinary,
  isFieldSet,
  toBinary,
  type DescMessage,
  type MessageShape,
} from '@bufbuild/protobuf';

/**
 * The fields of `message` that maas has no place for in its own types, encoded again as that message, or undefined
 * when there are none. Fields of later ONNX versions, which the protobuf library keeps as unknown, are among them.
 */
export function encodeRest<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  taken: readonly string[],
  extra: Record<string, unknown> = {},
): Uint8Array | undefined {
  const rest = create(schema) as Record<string, unknown> & MessageShape<Desc>;
  for (const field of schema.fields) {
    if (taken.includes(field.localName) || !isFieldSet(message, field)) continue;
    (rest as Record<string, unknown>)[field.localName] = (message as Record<string, unknown>)[
      field.localName
    ];
  }
  Object.assign(rest, extra);
  if (message.$unknown) rest.$unknown = message.$unknown;
  const bytes = toBinary(schema, rest);
  return bytes.length > 0 ? bytes : undefined;
}

/** A message to fill in, with the fields that `encodeRest` put aside already in it. */
export function decodeRest<Desc extends DescMessage>(
  schema: Desc,
  rest: Uint8Array | undefined,
): MessageShape<Desc> {
  return rest ? fromBinary(schema, rest) : create(schema);
}

/** Leftovers of named parts (initializers, attributes, values), to be found again by name when the model is saved. */
export function byName<Part extends { readonly name: string }>(
  parts: readonly Part[],
): ReadonlyMap<string, Part> {
  return new Map(parts.map((part) => [part.name, part]));
}
