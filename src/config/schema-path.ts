/** The parts of JSON Schema that z.toJSONSchema writes for config. */
export interface JsonSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
}

/** All schemas that may hold for the value at `path`: one for each alternative that leads there. */
export function schemasAt(schema: JsonSchema, path: readonly PropertyKey[]): JsonSchema[] {
  let level = alternatives(schema);
  for (const segment of path) level = level.flatMap((each) => below(each, segment)).flatMap(alternatives);
  return level;
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  const { anyOf = [], oneOf = [], allOf = [] } = schema;
  return [schema, ...[...anyOf, ...oneOf, ...allOf].flatMap(alternatives)];
}

function below(schema: JsonSchema, segment: PropertyKey): JsonSchema[] {
  const { properties, additionalProperties, items } = schema;
  const name = String(segment);
  if (properties && Object.hasOwn(properties, name)) return [properties[name]!];
  if (typeof additionalProperties === 'object') return [additionalProperties];
  if (Array.isArray(items)) return (items as readonly JsonSchema[]).slice(Number(segment)).slice(0, 1);
  return items ? [items as JsonSchema] : [];
}

/** Every key that the mapping at `path` may have. */
export function keysAt(schema: JsonSchema, path: readonly PropertyKey[]): string[] {
  return [...new Set(schemasAt(schema, path).flatMap(({ properties }) => Object.keys(properties ?? {})))];
}

export function descriptionAt(schema: JsonSchema, path: readonly PropertyKey[]): string | undefined {
  return schemasAt(schema, path).find(({ description }) => description !== undefined)?.description;
}

/** The section that has the key, when the mapping it was found in has not. */
export function sectionWith(schema: JsonSchema, key: string): string | undefined {
  return Object.keys(schema.properties ?? {}).find((section) => keysAt(schema, [section]).includes(key));
}
