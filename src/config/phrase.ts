import type { z } from 'zod';
import type { Located } from './located.js';

/** Stands in a phrase where diagnostics puts what the file has: only there is it known whether it may be shown. */
export const foundMark = '{found}';

const types: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  null: 'null',
};

/** Says what is wrong in terms of YAML; a schema's own message always wins over it. Given to zod as its error map. */
export function phrase(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_key') {
    const [first] = issue.issues;
    return first && `wrong key: ${first.message.replace(`, found ${foundMark}`, '')}`;
  }
  const expected = expectation(issue);
  return expected === undefined ? undefined : `expected ${expected}, found ${foundMark}`;
}

/** The part of a phrase between "expected" and "found"; all of a message that is none. */
export function expectationIn(message: string): string {
  const end = message.indexOf(`, found ${foundMark}`);
  return end < 0 ? message : message.slice('expected '.length, end);
}

function expectation(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return types[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.length === 1
        ? JSON.stringify(issue.values[0])
        : `one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return bound(issue.origin, issue.minimum, issue.inclusive ? 'at least' : 'more than');
    case 'too_big':
      return bound(issue.origin, issue.maximum, issue.inclusive ? 'at most' : 'less than');
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.format === 'regex' ? `text that matches ${issue.pattern}` : `text in ${issue.format} form`;
    case 'invalid_union':
      return 'options' in issue && Array.isArray(issue.options)
        ? `one of ${issue.options.map(String).join(', ')}`
        : undefined;
    default:
      return undefined;
  }
}

const signs = { 'at least': '≥', 'more than': '>', 'at most': '≤', 'less than': '<' } as const;

function bound(origin: string, limit: number | bigint, relation: keyof typeof signs): string {
  if (origin === 'string') {
    return limit === 1 && relation === 'at least' ? 'some text' : `text of ${relation} ${limit} characters`;
  }
  if (origin === 'array' || origin === 'set') {
    return `${relation} ${limit === 1 ? 'one item' : `${limit} items`}`;
  }
  if (origin === 'object' || origin === 'record') {
    return `${relation} ${limit === 1 ? 'one key' : `${limit} keys`}`;
  }
  return `${origin === 'int' ? 'a whole number' : 'a number'} ${signs[relation]} ${limit}`;
}

/** What the file has there. Values of environment variables are often secrets, so they are told by type alone. */
export function describeFound(located: Located | undefined): string {
  if (located?.content == null) return 'nothing';
  const { content, origin } = located;
  if (content instanceof Map) return 'a mapping';
  if (Array.isArray(content)) return content.length === 0 ? 'an empty list' : 'a list';
  if (origin.variables?.length) {
    const kind = content === '' ? 'empty text' : `a ${typeof content}`;
    return `${kind} from ${origin.variables.map((name) => `\${${name}}`).join(' and ')}`;
  }
  const shown = JSON.stringify(content);
  return shown.length > 60 ? `${shown.slice(0, 57)}…"` : shown;
}
