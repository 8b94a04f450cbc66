import type { GraphBuilder } from '../../ir/builder.js';
import { attr } from '../../ir/graph.js';
import { tensor } from '../../ir/tensor.js';
import { tokensOf, type TokenKind } from './tokens.js';

/** Ids before those of tokens: what fills a short text up, and a token that has no id. */
export const padding = 0;
export const unknown = 1;
const reserved = 2;

/** What the nodes must know that turn a text into a row of ids. */
export interface TokenIds {
  readonly outputMode: 'int';
  readonly split: TokenKind;
  /** The first has the id 2. */
  readonly tokens: readonly string[];
  /** Ids of a row. */
  readonly length: number;
  /** Which tokens of a text that has more are read. */
  readonly keep: 'first' | 'last';
}

/** How many ids there are. */
export const idsIn = ({ tokens }: TokenIds): number => tokens.length + reserved;

/** The id of a token by its place in `tokens`. */
export const idOf = (index: number): number => index + reserved;

/** The most frequent tokens, the most frequent first. */
export function countTokens(texts: Iterable<string>, split: TokenKind, most: number): string[] {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const token of tokensOf(text, split)) counts.set(token, (counts.get(token) ?? 0) + 1);
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .slice(0, most)
    .map(([token]) => token);
}

/**
 * Cuts each row of codes to `length`, the first or the last of them.
 * @param codes int64 [N, tokens of the longest], short rows filled up with 0 at the end.
 * @returns int64 [N, length], filled up alike.
 */
export function emitWindow(g: GraphBuilder, codes: string, { length, keep }: TokenIds): string {
  const padded = g.op('Pad', [codes, g.int64s([0, 0, 0, length]), g.scalar(padding, 'int64')]);
  const first = Array.from({ length }, (_, at) => BigInt(at));
  if (keep === 'first') return g.op('Gather', [padded, g.int64s(first.map(Number))], { axis: attr.int(1) });
  const begin = g.op('Sub', [countPresent(g, padded), g.constant(tensor('int64', [1, 1], [BigInt(length)]))]);
  const from = g.op('Max', [begin, g.constant(tensor('int64', [1, 1], [0n]))]);
  const places = g.op('Add', [from, g.constant(tensor('int64', [1, length], first))]);
  return g.op('GatherElements', [padded, places], { axis: attr.int(1) });
}

/** Ids of each row that are no padding, int64 [N, 1]. */
export function countPresent(g: GraphBuilder, ids: string): string {
  const present = g.op('Cast', [g.op('Greater', [ids, g.scalar(padding, 'int64')])], { to: attr.int(7) });
  return g.op('ReduceSum', [present, g.int64s([1])]);
}
