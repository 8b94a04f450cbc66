import { z } from 'zod';
import { attr } from '../../ir/graph.js';
import { tensor } from '../../ir/tensor.js';
import type { Feature } from '../signature.js';
import { emitFill } from './fill-text.js';
import type { Site, Transform } from './transform.js';

/** A column for each category of the train split, 1 where it stands; one that training has not seen is 0 in all. */
export const oneHot: Transform<string, object, null> = {
  summary: 'a column for each category of the train split',
  options: z.strictObject({}),
  takes: 'category',
  fit: () => null,
  emit(site, x, [column]) {
    const { feature } = column!;
    return emitColumns(site, emitCode(site, x, feature), feature.categories!.length, feature);
  },
};

const embeddingOptions = z.strictObject({
  outputDim: z.int().min(1).max(4096).default(8).describe('Numbers that stand for a category.'),
});

/** A learned vector for each category of the train split; one that training has not seen is 0 throughout. */
export const embedding: Transform<string, z.output<typeof embeddingOptions>, { outputDim: number }> = {
  summary: 'a learned vector for each category of the train split',
  options: embeddingOptions,
  takes: 'category',
  fit: (_, options) => options,
  emit(site, x, [column]) {
    const { g } = site;
    const { feature, facts } = column!;
    const code = emitCode(site, x, feature);
    const table = site.weight(`${feature.name}/embeddings`, [feature.categories!.length, facts.outputDim]);
    const none = g.scalar(0, 'int64');
    const vectors = g.op('Gather', [table, g.op('Max', [code, none])]);
    const known = g.op('Cast', [g.op('GreaterOrEqual', [code, none])], { to: attr.int(1) });
    return g.op('Mul', [g.op('Squeeze', [vectors, g.int64s([1])]), known]);
  },
};

const hashingOptions = z.strictObject({
  numBins: z.int().min(2).max(1_000_000).describe('Columns that the texts are spread over.'),
});

/** A column for each bin that texts are spread over by their MurmurHash3 (32 bit, seed 0), seen in training or not. */
export const hashing: Transform<string, z.output<typeof hashingOptions>, { numBins: number }> = {
  summary: 'a fixed number of columns that texts are spread over, for very many categories',
  options: hashingOptions,
  takes: 'category',
  fit: (_, options) => options,
  emit(site, x, [column]) {
    const { g } = site;
    const { feature, facts } = column!;
    // A standard operator for this does not exist; onnxruntime has one on every CPU.
    const hash = g.op(
      'MurmurHash3',
      [emitFill(site, x, feature)],
      { positive: attr.int(1) },
      { domain: 'com.microsoft' },
    );
    const bins = g.scalar(facts.numBins, 'int64');
    const bin = g.op('Mod', [g.op('Cast', [hash], { to: attr.int(7) }), bins]);
    return emitColumns(site, bin, facts.numBins, feature);
  },
};

/** String [N, 1] → int64 [N, 1]: index of the category, −1 for one that training has not seen. */
function emitCode({ g }: Site, x: string, { name, categories = [], missing }: Feature): string {
  const filled = missing ? categories.indexOf(String(missing.fill)) : -1;
  const known = new Map(categories.map((category, index) => [category, index]));
  if (filled !== -1) for (const text of ['', ...missing!.written]) known.set(text, filled);
  return g.op(
    'LabelEncoder',
    [x],
    {
      keys_strings: attr.strings([...known.keys()]),
      values_int64s: attr.ints([...known.values()]),
      default_int64: attr.int(-1),
    },
    { domain: 'ai.onnx.ml', name: `${name}.code` },
  );
}

/** int64 [N, 1] → float32 [N, count], 1 in the column of that index. */
function emitColumns({ g }: Site, code: string, count: number, { name }: Feature): string {
  const indices = Array.from({ length: count }, (_, index) => BigInt(index));
  const columns = g.constant(tensor('int64', [1, count], indices), `${name}.columns`);
  return g.op('Cast', [g.op('Equal', [code, columns])], { to: attr.int(1) });
}
