import type { Dataset, Signature } from '../../data/index.js';
import type { GraphBuilder } from '../../ir/builder.js';
import { attr } from '../../ir/graph.js';
import { tensor } from '../../ir/tensor.js';

/** A column that varies less than float32 can tell, as a share of its mean, is constant. */
const leastVariation = 1e-6;

/**
 * Emits what turns the raw inputs into one float32 matrix [N, features]: numbers have mean 0 and deviation 1 over the
 * train split, each category has a column that is 1 where it stands. A category that training has not seen is 0 in all.
 */
export function emitFeatures(
  g: GraphBuilder,
  { inputs, features }: Signature,
  statistics: Dataset['statistics'],
): string {
  const parts = inputs.map(({ name, dtype }) => {
    if (dtype !== 'string') return emitScaling(g, name, statistics[name]!);
    const { categories } = features.find((feature) => feature.input === name)!;
    return emitOneHot(g, name, categories!);
  });
  return parts.length === 1 ? parts[0]! : g.op('Concat', parts, { axis: attr.int(1) }, { name: 'inputs' });
}

function emitScaling(
  g: GraphBuilder,
  input: string,
  { mean, deviation }: Dataset['statistics'][string],
): string {
  const scale = deviation.map((value, column) =>
    value > Math.abs(mean[column]!) * leastVariation ? value : 1,
  );
  const dims = [mean.length];
  const centred = g.op('Sub', [input, g.constant(tensor('float32', dims, mean), `${input}.mean`)]);
  return g.op('Div', [centred, g.constant(tensor('float32', dims, scale), `${input}.deviation`)]);
}

/** String [N, 1] → float32 [N, categories]. */
function emitOneHot(g: GraphBuilder, input: string, categories: readonly string[]): string {
  const indices = categories.map((_, index) => index);
  const code = g.op(
    'LabelEncoder',
    [input],
    {
      keys_strings: attr.strings(categories),
      values_int64s: attr.ints(indices),
      default_int64: attr.int(-1),
    },
    { domain: 'ai.onnx.ml', name: `${input}.code` },
  );
  const columns = g.constant(tensor('int64', [1, indices.length], indices.map(BigInt)), `${input}.columns`);
  return g.op('Cast', [g.op('Equal', [code, columns])], { to: attr.int(1) });
}
