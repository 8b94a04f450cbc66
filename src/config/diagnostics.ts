import type { z } from 'zod';
import { didYouMean, closest } from '../suggest.js';
import type { MaasError } from '../errors.js';
import { joinErrors, type Problem } from './join-errors.js';
import { find, placeOf, type Located, type Origin } from './located.js';
import { describeFound, expectationIn, foundMark } from './phrase.js';
import { descriptionAt, keysAt, sectionWith, type JsonSchema } from './schema-path.js';

type Issue = z.core.$ZodIssue;

interface Finding extends Problem {
  /** Where it stands in the file. */
  readonly offset: number;
}

/**
 * What zod found, as errors that point into the file, in the order in which they stand there; what came by `--set` goes
 * last. All are thrown as one: the first, with the rest in `others`.
 */
export function toError(issues: readonly Issue[], root: Located, schema: JsonSchema): MaasError {
  const flat = issues.flatMap(narrowUnion);
  const renamed = new Set(flat.flatMap((issue) => suggestedPaths(issue, schema)));
  const findings = flat
    // A misspelt required key is one mistake, not an unknown key and a missing one.
    .filter((issue) => !(isMissing(issue, root) && renamed.has(issue.path.join('\0'))))
    .flatMap((issue) => explain(issue, root, schema))
    .sort((a, b) => a.offset - b.offset);
  return joinErrors(findings);
}

/** Replaces a failed union by the alternative that was most likely meant. */
function narrowUnion(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const branches = issue.errors.map((errors) => errors.flatMap((each) => narrowUnion(each)));
  // An alternative of another type was not meant; among those of the right type the fewest mistakes win.
  const fitting = branches
    .filter((errors) => !errors.some((each) => each.path.length === 0 && isMismatch(each)))
    .sort((a, b) => a.length - b.length)[0];
  if (fitting) return fitting.map((each) => ({ ...each, path: [...issue.path, ...each.path] }));
  const mismatches = branches.flatMap((errors) => errors.filter((each) => each.path.length === 0));
  const words = [...new Set(mismatches.map(({ message }) => expectationIn(message)))];
  return [{ ...issue, errors: [], message: `expected ${words.join(' or ')}, found ${foundMark}` }];
}

function isMismatch({ code }: Issue): boolean {
  return code === 'invalid_type' || code === 'invalid_value' || code === 'invalid_union';
}

function isMissing(issue: Issue, root: Located): boolean {
  return isMismatch(issue) && find(root, issue.path).value === undefined;
}

function suggestedPaths(issue: Issue, schema: JsonSchema): string[] {
  if (issue.code !== 'unrecognized_keys') return [];
  const known = keysAt(schema, issue.path);
  return issue.keys.flatMap((key) => {
    const near = closest(key, known);
    return near === undefined ? [] : [[...issue.path, near].join('\0')];
  });
}

function explain(issue: Issue, root: Located, schema: JsonSchema): Finding[] {
  const { path } = issue;
  const { value, nearest } = find(root, path);
  const at = (origin: Origin): Pick<Finding, 'place' | 'offset'> => ({
    place: placeOf(origin),
    offset: origin.source === root.origin.source ? origin.start : Number.MAX_SAFE_INTEGER,
  });
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const located = find(root, [...path, key]).value ?? nearest;
      return { ...explainUnknownKey(key, path, schema), ...at(located.key ?? located.origin) };
    });
  }
  if (isMissing(issue, root)) {
    const message = `missing key "${String(path.at(-1))}"${inside(path.slice(0, -1))}`;
    // At the top there is nothing to point at: no key is more to blame than another.
    const where =
      nearest === root
        ? { place: { file: root.origin.source.name }, offset: -1 }
        : at(nearest.key ?? nearest.origin);
    return [{ code: 'MAAS_CONFIG_INVALID', message, hint: describeKey(schema, path), ...where }];
  }
  const message = issue.message.replace(foundMark, () => describeFound(value));
  return [
    {
      code: 'MAAS_CONFIG_INVALID',
      message: path.length === 0 ? message : `${path.join('.')}: ${message}`,
      hint: hintFor(issue, value) ?? describeKey(schema, path),
      ...at(isAboutKey(issue) && value?.key ? value.key : (value ?? nearest).origin),
    },
  ];
}

function explainUnknownKey(
  key: string,
  path: readonly PropertyKey[],
  schema: JsonSchema,
): Pick<Finding, 'code' | 'message' | 'hint'> {
  const known = keysAt(schema, path);
  const section = sectionWith(schema, key);
  const list = known.length > 0 ? `Keys${inside(path) || ' here'}: ${known.join(', ')}.` : undefined;
  const elsewhere = section === undefined ? undefined : `"${key}" belongs under "${section}".`;
  return {
    code: 'MAAS_CONFIG_UNKNOWN_KEY',
    message: `unknown key "${key}"${inside(path)}`,
    hint: didYouMean(key, known) ?? elsewhere ?? list,
  };
}

function inside(path: readonly PropertyKey[]): string {
  return path.length === 0 ? '' : ` in ${path.join('.')}`;
}

function describeKey(schema: JsonSchema, path: readonly PropertyKey[]): string | undefined {
  const description = descriptionAt(schema, path);
  return description === undefined ? undefined : `${path.join('.')}: ${description}`;
}

/** A record may restrict its keys, and an unknown name of a `named` choice may stand as one. */
function isAboutKey(issue: Issue): boolean {
  if (issue.code === 'invalid_key') return true;
  return issue.code === 'custom' && issue.params?.['unknown'] === issue.path.at(-1);
}

function hintFor(issue: Issue, located: Located | undefined): string | undefined {
  const { content, origin } = located ?? {};
  if (issue.code === 'custom' && typeof issue.params?.['unknown'] === 'string') {
    return didYouMean(issue.params['unknown'], issue.params['known'] as string[]);
  }
  if (content === null && issue.code === 'invalid_type' && issue.expected === 'object') {
    return 'Write {} to leave everything at its default.';
  }
  if (typeof content !== 'string') return undefined;
  if (issue.code === 'invalid_value') return didYouMean(content, issue.values.map(String));
  if (issue.code !== 'invalid_type') return undefined;
  if (origin?.variables?.length && origin.quoted) {
    return 'The quotes make it text: write the variable without them, on a line of its own.';
  }
  if (issue.expected === 'boolean' && /^(yes|no|on|off|y|n)$/i.test(content)) {
    return 'YAML 1.2 has only true and false.';
  }
  return undefined;
}
