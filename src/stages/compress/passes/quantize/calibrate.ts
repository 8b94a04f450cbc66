import type { Model } from '../../../../ir/graph.js';
import { openModel } from '../../../../runtime/open-model.js';
import { giveWay } from '../../../../runtime/give-way.js';
import type { Feeds } from '../../../../runtime/session.js';
import type { Observer } from '../observe.js';
import { tap } from '../../tap.js';
import { Histogram, leastDivergenceRange, leastErrorRange, percentileRange, type Range } from './ranges.js';

export interface CalibrationOptions {
  readonly method: 'minmax' | 'mse' | 'percentile' | 'entropy';
  /** For `percentile`: share of the values that the range covers. */
  readonly coverage: number;
}

const searches = { mse: leastErrorRange, percentile: percentileRange, entropy: leastDivergenceRange };

/**
 * Runs rows through the model and sees which numbers its activations take.
 * @param names Values of the graph to look at: float32 inputs or what nodes write.
 * @returns the range of each, of none where there are no rows; one that holds NaN or infinities has a range that is not finite.
 */
export async function calibrate(
  model: Model,
  names: readonly string[],
  batches: readonly Feeds[],
  options: CalibrationOptions,
  observer: Observer = {},
): Promise<Map<string, Range>> {
  const { memory } = observer;
  const { method, coverage } = options;
  const keyOf = (name: string): string =>
    `range by ${method} ${coverage} on ${batches.length} batches: ${name}`;
  const known = (name: string): Range | undefined => memory?.get(keyOf(name)) as Range | undefined;
  const unknown = names.filter((name) => !known(name));
  const seen =
    unknown.length > 0 ? await look(model, unknown, batches, options, observer) : new Map<string, Range>();
  for (const [name, range] of seen) memory?.set(keyOf(name), range);
  return new Map(
    names.flatMap((name) => {
      const range = seen.get(name) ?? known(name);
      return range ? [[name, range] as const] : [];
    }),
  );
}

async function look(
  model: Model,
  names: readonly string[],
  batches: readonly Feeds[],
  { method, coverage }: CalibrationOptions,
  { signal }: Observer,
): Promise<Map<string, Range>> {
  if (batches.length === 0) return new Map();
  const inputs = new Set(model.graph.inputs.map(({ name }) => name));
  const session = await openModel(tap(model, names));
  const inner = names.filter((name) => !inputs.has(name));
  const eachBatch = async (see: (name: string, values: Float32Array) => void): Promise<void> => {
    for (const feeds of batches) {
      await giveWay(signal);
      const outputs = inner.length > 0 ? await session.run(feeds, inner) : {};
      for (const name of names) see(name, (outputs[name] ?? feeds[name])!.data as Float32Array);
    }
  };
  try {
    const ranges = new Map<string, Range>();
    await eachBatch((name, values) => ranges.set(name, widen(ranges.get(name), values)));
    if (method === 'minmax') return ranges;
    const finite = [...ranges].filter(([, { low, high }]) => Number.isFinite(high - low));
    const histograms = new Map(finite.map(([name, range]) => [name, new Histogram(range)]));
    await eachBatch((name, values) => histograms.get(name)?.add(values));
    for (const [name, histogram] of histograms) {
      ranges.set(name, searches[method](histogram, coverage));
    }
    return ranges;
  } finally {
    await session.close();
  }
}

/** Written so that NaN stays NaN. */
function widen(range: Range | undefined, values: Float32Array): Range {
  let { low, high } = range ?? { low: Infinity, high: -Infinity };
  for (const value of values) {
    if (!(value >= low)) low = value;
    if (!(value <= high)) high = value;
    if (Number.isNaN(value)) return { low: NaN, high: NaN };
  }
  return { low, high };
}
