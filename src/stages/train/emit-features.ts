import type { Dataset, Feature, Signature } from '../../data/index.js';
import type { GraphBuilder } from '../../ir/builder.js';
import { attr } from '../../ir/graph.js';
import { tensor } from '../../ir/tensor.js';

/** A column that varies less than float32 can tell, as a share of its mean, is constant. */
const leastVariation = 1e-6;

/**
 * Emits what turns the raw inputs into one float32 matrix [N, features]: numbers have mean 0 and deviation 1 over the
 * train split, as do the elements of an array; each category has a column that is 1 where it stands. A category that training has not seen is 0 in all.
 */
export function emitFeatures(
  g: GraphBuilder,
  { inputs, features }: Signature,
  statistics: Dataset['statistics'],
): string {
  const parts = inputs.map(({ name, dtype }) => {
    const own = features.filter((feature) => feature.input === name);
    if (dtype === 'string') return emitOneHot(g, own[0]!);
    if (own[0]?.type === 'array') {
      const scaled = emitScaling(g, name, name, statistics[name]!);
      // By itself it keeps its shape.
      return inputs.length === 1 ? scaled : g.op('Flatten', [scaled]);
    }
    return emitScaling(g, emitFilling(g, name, own), name, statistics[name]!);
  });
  return parts.length === 1 ? parts[0]! : g.op('Concat', parts, { axis: attr.int(1) }, { name: 'inputs' });
}

/** Puts what stands for a missing number where there is NaN; where nothing does, NaN stays and shows in the answer. */
function emitFilling(g: GraphBuilder, input: string, features: readonly Feature[]): string {
  if (features.every((feature) => feature.missing === undefined)) return input;
  const fills = new Float32Array(features.length).fill(NaN);
  for (const { column, missing } of features) if (missing) fills[column] = Number(missing.fill);
  const fill = g.constant(tensor('float32', [fills.length], fills), `${input}.fill`);
  return g.op('Where', [g.op('IsNaN', [input]), fill, input]);
}

function emitScaling(
  g: GraphBuilder,
  x: string,
  input: string,
  { mean, deviation }: Dataset['statistics'][string],
): string {
  const scale = deviation.map((value, column) =>
    value > Math.abs(mean[column]!) * leastVariation ? value : 1,
  );
  const dims = [mean.length];
  const centred = g.op('Sub', [x, g.constant(tensor('float32', dims, mean), `${input}.mean`)]);
  return g.op('Div', [centred, g.constant(tensor('float32', dims, scale), `${input}.deviation`)]);
}

/** String [N, 1] → float32 [N, categories]. */
function emitOneHot(g: GraphBuilder, { input, categories = [], missing }: Feature): string {
  const indices = categories.map((_, index) => index);
  const filled = missing ? categories.indexOf(String(missing.fill)) : -1;
  const known = new Map(categories.map((category, index) => [category, index]));
  if (filled !== -1) for (const text of ['', ...missing!.written]) known.set(text, filled);
  const code = g.op(
    'LabelEncoder',
    [input],
    {
      keys_strings: attr.strings([...known.keys()]),
      values_int64s: attr.ints([...known.values()]),
      default_int64: attr.int(-1),
    },
    { domain: 'ai.onnx.ml', name: `${input}.code` },
  );
  const columns = g.constant(tensor('int64', [1, indices.length], indices.map(BigInt)), `${input}.columns`);
  return g.op('Cast', [g.op('Equal', [code, columns])], { to: attr.int(1) });
}
