import { isScalar, parseDocument } from 'yaml';
import type { Scalar } from './located.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Interpolated {
  readonly value: Scalar;
  readonly variables: readonly string[];
  /** Set when a variable is missing or a reference is malformed: the reference, and what is wrong with it. */
  readonly problem?: { readonly reference: string; readonly message: string };
}

/**
 * Fills `${NAME}` and `${NAME:-default}` into `text`; `$$` is a dollar sign. The default also stands in for an empty
 * variable, as in a shell.
 * @param typed When the text is nothing but one reference, read what is filled in as YAML: 8080 becomes a number.
 */
export function interpolate(text: string, env: Environment, typed: boolean): Interpolated {
  const variables: string[] = [];
  let problem: Interpolated['problem'];
  let isWhole = false;
  const filled = text.replace(/\$\$|\$\{[^}]*\}?/g, (reference) => {
    if (reference === '$$') return '$';
    const parts = /^\$\{([A-Za-z_]\w*)(?::-(.*))?\}$/s.exec(reference);
    if (!parts) {
      problem ??= { reference, message: `"${reference}" is not of the form \${NAME} or \${NAME:-default}` };
      return reference;
    }
    const [, name, otherwise] = parts as unknown as [string, string, string | undefined];
    variables.push(name);
    isWhole = reference === text;
    const value = env[name];
    if (otherwise !== undefined) return value === undefined || value === '' ? otherwise : value;
    if (value === undefined) {
      problem ??= { reference, message: `the environment variable ${name} is not set` };
      return reference;
    }
    return value;
  });
  return { value: typed && isWhole && !problem ? readScalar(filled) : filled, variables, problem };
}

/** Numbers, booleans and null as YAML reads them; all other text stays as it is, whatever it may mean in YAML. */
function readScalar(text: string): Scalar {
  const { contents, errors } = parseDocument(text, { schema: 'core', logLevel: 'silent' });
  if (errors.length > 0 || !isScalar(contents) || typeof contents.value === 'string') return text;
  return contents.value as Scalar;
}
