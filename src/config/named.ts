import { z } from 'zod';
import { describeSchema } from './describe-schema.js';
import { phrase } from './phrase.js';

export interface NamedDefinition {
  readonly summary: string;
  readonly options: z.ZodType;
}

/** What a `named` schema parses to. */
export interface Named {
  readonly name: string;
  readonly options: unknown;
}

/** Carried by the issue for a name that nothing has, so that diagnostics can say "did you mean". */
export interface UnknownName {
  readonly unknown: string;
  readonly known: readonly string[];
}

/**
 * The config's one way to choose something and set it up: the bare name, `adam`, or one key with options,
 * `{adam: {learningRate: 0.01}}`. The bare name means `{adam: {}}`: the options' own defaults.
 *
 * A union would report every alternative when one option is wrong, so the choice is read here by hand: an unknown name
 * lists the names there are, and a wrong option is reported at its own path. Give a default with `.prefault('adam')`.
 *
 * @param what The thing in the singular, for messages: `optimizer`, `loss`, `pass`.
 */
export function named(
  definitions: Readonly<Record<string, NamedDefinition>>,
  what: string,
): z.ZodType<Named> {
  const known = Object.keys(definitions);
  return z
    .unknown()
    .transform((value, context): Named => {
      const [name, options] = readChoice(value);
      if (name === undefined) {
        if (value === undefined) context.issues.push({ code: 'invalid_type', expected: what, input: value });
        else context.addIssue({ code: 'custom', message: describeMisfit(value, what), path: [] });
        return z.NEVER;
      }
      const path = typeof value === 'string' ? [] : [name];
      if (!Object.hasOwn(definitions, name)) {
        const params: UnknownName = { unknown: name, known };
        const list = known.length > 0 ? `expected one of: ${known.join(', ')}` : 'none are registered';
        context.addIssue({ code: 'custom', message: `unknown ${what} "${name}", ${list}`, path, params });
        return z.NEVER;
      }
      return { name, options: parseInside(definitions[name]!.options, options, context, name) };
    })
    .meta({
      // A getter: the JSON Schema is worked out only when somebody asks for it.
      get oneOf() {
        return Object.entries(definitions).flatMap(([name, definition]) => describeChoice(name, definition));
      },
    });
}

/**
 * Parses what lies inside a value that is read by hand; what is wrong is reported at its own path.
 * @param key Of the inner value, where it has one.
 */
export function parseInside<Value>(
  schema: z.ZodType<Value>,
  value: unknown,
  context: z.RefinementCtx,
  key?: string,
): Value {
  // As zod's own containers do it, so that messages are worded by whoever parses the whole. Only the alternatives of a
  // union are worded at once.
  const parsed = schema._zod.run({ value, issues: [] }, { error: phrase });
  if (parsed instanceof Promise) throw new z.core.$ZodAsyncError();
  context.issues.push(...(key === undefined ? parsed.issues : z.core.util.prefixIssues(key, parsed.issues)));
  return parsed.value as Value;
}

function readChoice(value: unknown): [name?: string, options?: unknown] {
  if (typeof value === 'string') return [value, {}];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const entries = Object.entries(value);
  return entries.length === 1 ? entries[0]! : [];
}

function describeMisfit(value: unknown, what: string): string {
  const expected = `expected the name of one ${what}, alone or as a key with its options`;
  if (Array.isArray(value)) return `${expected}; found a list`;
  if (value === null) return `${expected}; found nothing`;
  if (typeof value !== 'object') return `${expected}; found a ${typeof value}`;
  const keys = Object.keys(value);
  return `${expected}; found ${keys.length === 0 ? 'no key' : `${keys.length} keys: ${keys.join(', ')}`}`;
}

/** The forms one choice can take, for the JSON Schema; no bare name where an option is required. */
function describeChoice(name: string, { summary, options }: NamedDefinition): Record<string, unknown>[] {
  const schema = describeSchema(options);
  const keyed = {
    type: 'object',
    description: summary,
    properties: { [name]: { description: summary, ...schema } },
    required: [name],
    additionalProperties: false,
  };
  return options.safeParse({}).success ? [{ const: name, description: summary }, keyed] : [keyed];
}
