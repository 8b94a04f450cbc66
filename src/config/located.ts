import type { Place } from '../errors.js';
import type { SourceText } from './source-text.js';

/** The piece of text that a key or a value came from. */
export interface Origin {
  readonly source: SourceText;
  /** Offsets into the source's text. */
  readonly start: number;
  readonly end: number;
  /** Environment variables that the value was made from. */
  readonly variables?: readonly string[];
  /** True when quotes keep the value a string. */
  readonly quoted?: boolean;
}

/** A variable that is not set; an error unless `--set` puts another value there. */
export interface Unresolved {
  readonly message: string;
  readonly start: number;
  readonly end: number;
}

/** A config value that remembers where each part of it came from. */
export interface Located {
  readonly origin: Origin;
  /** Where its key stands, for values of a mapping. */
  readonly key?: Origin;
  readonly content: Map<string, Located> | Located[] | Scalar;
  readonly unresolved?: Unresolved;
}

export type Scalar = string | number | boolean | null;

/** The plain value, ready for validation. */
export function toPlain({ content }: Located): unknown {
  if (content instanceof Map) {
    return Object.fromEntries([...content].map(([key, child]) => [key, toPlain(child)]));
  }
  return Array.isArray(content) ? content.map(toPlain) : content;
}

export interface Found {
  /** The deepest value on the way that is there. */
  readonly nearest: Located;
  /** The value itself, or undefined when the path leads nowhere. */
  readonly value: Located | undefined;
}

export function find(root: Located, path: readonly PropertyKey[]): Found {
  let nearest = root;
  for (const segment of path) {
    const { content } = nearest;
    let child: Located | undefined;
    if (content instanceof Map) child = content.get(String(segment));
    else if (Array.isArray(content)) child = content[Number(segment)];
    if (child === undefined) return { nearest, value: undefined };
    nearest = child;
  }
  return { nearest, value: nearest };
}

/** Every value that still lacks its environment variable. */
export function unresolvedIn(located: Located): Unresolved[] {
  const { content, unresolved } = located;
  if (unresolved) return [unresolved];
  const children = content instanceof Map ? [...content.values()] : Array.isArray(content) ? content : [];
  return children.flatMap(unresolvedIn);
}

export function placeOf({ source, start, end }: Origin): Place {
  return source.place(start, end);
}
