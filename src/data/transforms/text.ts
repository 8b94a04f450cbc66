import { z } from 'zod';
import { attr } from '../../ir/graph.js';
import { emitFill } from './fill-text.js';
import { countTokens, emitWindow, idOf, padding, unknown, type TokenIds } from './text-ids.js';
import { tokensOf, tokenPattern, variantsOf } from './tokens.js';
import type { Transform } from './transform.js';

const columnModes = ['tfIdf', 'count', 'multiHot'] as const;

const options = z
  .strictObject({
    maxTokens: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe('Words and n-grams that get a column, or an id, the most frequent first.'),
    ngrams: z.int().min(1).max(5).default(1).describe('Up to so many words in a row count as one.'),
    outputMode: z
      .enum([...columnModes, 'int'])
      .default('tfIdf')
      .describe(
        'tfIdf weighs counts by how rare a word is and brings each text to length 1; count; multiHot is 1 where a word stands; int gives the tokens in their order as ids, for an embedding: 0 after the end of a text, 1 for a token that training has not seen.',
      ),
    split: z
      .enum(['word', 'character'])
      .default('word')
      .describe('What a text is made of: runs of letters, digits and underscores, or single characters.'),
    outputSequenceLength: z
      .int()
      .min(1)
      .max(100_000)
      .optional()
      .describe('Ids of a text with outputMode: int. What is longer is cut.'),
  })
  .check((context) => {
    const { outputMode, outputSequenceLength, ngrams } = context.value;
    const report = (key: string, message: string): void => {
      context.issues.push({ code: 'custom', input: context.value, path: [key], message });
    };
    if (outputMode === 'int' && outputSequenceLength === undefined)
      report('outputMode', 'int needs outputSequenceLength: how many ids a text is');
    if (outputMode === 'int' && ngrams > 1) report('ngrams', 'int gives single tokens: leave ngrams out');
    if (outputMode !== 'int' && outputSequenceLength !== undefined)
      report('outputSequenceLength', `${outputMode} gives columns: leave outputSequenceLength out`);
  });

type Options = z.output<typeof options>;

/** What the nodes must know: the n-grams with a column, shorter ones first. */
export interface Vocabulary extends Pick<Options, 'split'> {
  readonly outputMode: (typeof columnModes)[number];
  /** Index of a token is its number in `grams`. */
  readonly tokens: readonly string[];
  readonly grams: readonly (readonly number[])[];
  /** Inverse document frequencies, log((1 + texts) / (1 + texts with it)) + 1, one for each n-gram. */
  readonly weights: readonly number[];
}

/** Words of texts as columns, or as ids. A word that training has not seen has no column. */
export const textVectorization: Transform<string, Options, Vocabulary | TokenIds> = {
  summary: 'a column for each word or n-gram of the train split, or the words in order as ids',
  options,
  takes: 'text',
  fit(texts, { maxTokens, ngrams, outputMode, split, outputSequenceLength }) {
    if (outputMode === 'int') {
      const tokens = countTokens(texts, split, maxTokens);
      return { outputMode, split, tokens, length: outputSequenceLength!, keep: 'first' };
    }
    const counts = new Map<string, { tokens: readonly string[]; total: number; texts: number }>();
    let rows = 0;
    for (const text of texts) {
      rows += 1;
      const tokens = tokensOf(text, split);
      const seen = new Set<string>();
      for (let size = 1; size <= ngrams; size++) {
        for (let start = 0; start + size <= tokens.length; start++) {
          const gram = tokens.slice(start, start + size);
          const key = gram.join('\0');
          let count = counts.get(key);
          if (!count) counts.set(key, (count = { tokens: gram, total: 0, texts: 0 }));
          count.total += 1;
          if (!seen.has(key)) count.texts += 1;
          seen.add(key);
        }
      }
    }
    const chosen = [...counts]
      .sort(([a, { total: m }], [b, { total: n }]) => n - m || (a < b ? -1 : 1))
      .slice(0, maxTokens)
      .sort(([a, { tokens: m }], [b, { tokens: n }]) => m.length - n.length || (a < b ? -1 : 1))
      .map(([, count]) => count);
    const tokens = [...new Set(chosen.flatMap((count) => count.tokens))].sort();
    const indices = new Map(tokens.map((token, index) => [token, index]));
    return {
      outputMode,
      split,
      tokens,
      grams: chosen.map((count) => count.tokens.map((token) => indices.get(token)!)),
      weights: chosen.map((count) => Math.log((1 + rows) / (1 + count.texts)) + 1),
    };
  },
  emit(site, x, [column]) {
    const { g } = site;
    const { feature, facts } = column!;
    const text = g.op('Squeeze', [emitFill(site, x, feature), g.int64s([1])]);
    // Of the locales only this one is on every machine: it lowers A to Z, variantsOf the rest.
    const lower = { case_change_action: attr.string('LOWER'), locale: attr.string('C') };
    const tokens = g.op(
      'Tokenizer',
      [facts.split === 'word' ? g.op('StringNormalizer', [text], lower) : text],
      {
        mark: attr.int(0),
        mincharnum: attr.int(1),
        pad_value: attr.string(''),
        tokenexp: attr.string(tokenPattern(facts.split)),
      },
      { domain: 'com.microsoft' },
    );
    const isIds = facts.outputMode === 'int';
    const known = new Map<string, number>(isIds ? [['', padding]] : []);
    for (const [index, token] of facts.tokens.entries()) {
      const code = isIds ? idOf(index) : index;
      for (const variant of facts.split === 'word' ? variantsOf(token) : [token]) known.set(variant, code);
    }
    const codes = g.op(
      'LabelEncoder',
      [tokens],
      {
        keys_strings: attr.strings([...known.keys()]),
        values_int64s: attr.ints([...known.values()]),
        default_int64: attr.int(isIds ? unknown : -1),
      },
      { domain: 'ai.onnx.ml', name: `${feature.name}.code` },
    );
    if (isIds) return emitWindow(g, codes, facts);
    // A batch of empty texts has no token at all: one more that is unknown does no harm.
    const padded = g.op('Pad', [codes, g.int64s([0, 0, 0, 1]), g.scalar(-1, 'int64')]);
    return emitWeights(g, padded, facts);
  },
};

function emitWeights(
  g: Parameters<typeof emitFill>[0]['g'],
  codes: string,
  { grams, weights, outputMode }: Vocabulary,
): string {
  const longest = grams.at(-1)!.length;
  const starts = Array.from({ length: longest }, (_, size) =>
    grams.reduce((sum, gram) => sum + (gram.length <= size ? gram.length : 0), 0),
  );
  const counts = g.op('TfIdfVectorizer', [codes], {
    mode: attr.string(outputMode === 'tfIdf' ? 'TFIDF' : 'TF'),
    min_gram_length: attr.int(1),
    max_gram_length: attr.int(longest),
    max_skip_count: attr.int(0),
    ngram_counts: attr.ints(starts),
    ngram_indexes: attr.ints(grams.map((_, index) => index)),
    pool_int64s: attr.ints(grams.flat()),
    ...(outputMode === 'tfIdf' && { weights: attr.floats(weights) }),
  });
  if (outputMode === 'count') return counts;
  if (outputMode === 'multiHot')
    return g.op('Cast', [g.op('Greater', [counts, g.scalar(0)])], { to: attr.int(1) });
  return g.op('LpNormalization', [counts], { axis: attr.int(1), p: attr.int(2) });
}
