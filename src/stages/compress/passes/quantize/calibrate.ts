import type { Model } from '../../../../ir/graph.js';
import { giveWay } from '../../../../runtime/give-way.js';
import { openModel } from '../../../../runtime/open-model.js';
import type { Feeds } from '../../../../runtime/session.js';
import { tap } from '../../tap.js';
import {
  countRows,
  observeSpreads,
  recall,
  type Observations,
  type Observed,
  type Observer,
} from '../observe.js';
import { Histogram, leastDivergenceRange, leastErrorRange, percentileRange, type Range } from './ranges.js';

export interface CalibrationOptions {
  readonly method: 'minmax' | 'mse' | 'percentile' | 'entropy';
  /** For `percentile`: share of the values that the range covers. */
  readonly coverage: number;
}

const searches = { mse: leastErrorRange, percentile: percentileRange, entropy: leastDivergenceRange };

export interface Calibration {
  /** Of none where there are no rows; that of a value that is not finite everywhere is NaN. */
  readonly ranges: ReadonlyMap<string, Range>;
  readonly means: Observations;
}

/**
 * Runs rows through the model and sees which numbers its activations take.
 * @param names Values of the graph to find the ranges of: float32 inputs or what nodes write.
 * @param observer Who looks, and at what besides: values to find the means of, on the same run.
 */
export async function calibrate(
  model: Model,
  names: readonly string[],
  batches: readonly Feeds[],
  options: CalibrationOptions,
  { observed = [], ...observer }: Observer & { readonly observed?: readonly Observed[] } = {},
): Promise<Calibration> {
  const { memory } = observer;
  const { method, coverage } = options;
  const place = (name: string): string =>
    `range by ${method} ${coverage} on ${countRows(batches)} rows: ${name}`;
  const known = (name: string): Range | undefined => memory?.get(place(name)) as Range | undefined;
  const unknown = names.filter((name) => !known(name));
  let seen: ReadonlyMap<string, Range> = new Map();
  const means = await recall('means', observed, batches, observer, async (values) => {
    const found = await observeSpreads(model, unknown, values, batches, observer);
    seen = await narrow(model, found.spreads, batches, options, observer);
    return found.means;
  });
  for (const [name, range] of seen) memory?.set(place(name), range);
  const ranges = names.flatMap((name) => {
    const range = seen.get(name) ?? known(name);
    return range ? [[name, range] as const] : [];
  });
  return { ranges: new Map(ranges), means };
}

/** The ranges that a method makes of how far values spread. */
async function narrow(
  model: Model,
  spreads: ReadonlyMap<string, Range>,
  batches: readonly Feeds[],
  { method, coverage }: CalibrationOptions,
  observer: Observer,
): Promise<ReadonlyMap<string, Range>> {
  if (method === 'minmax' || spreads.size === 0) return spreads;
  const finite = [...spreads].filter(([, { low, high }]) => Number.isFinite(high - low));
  const histograms = new Map(finite.map(([name, range]) => [name, new Histogram(range)]));
  await count(model, histograms, batches, observer);
  const ranges = new Map(spreads);
  for (const [name, histogram] of histograms) ranges.set(name, searches[method](histogram, coverage));
  return ranges;
}

async function count(
  model: Model,
  histograms: ReadonlyMap<string, Histogram>,
  batches: readonly Feeds[],
  { signal }: Observer,
): Promise<void> {
  const inputs = new Set(model.graph.inputs.map(({ name }) => name));
  const inner = [...histograms.keys()].filter((name) => !inputs.has(name));
  const session = await openModel(tap(model, inner));
  try {
    for (const feeds of batches) {
      await giveWay(signal);
      const outputs = inner.length > 0 ? await session.run(feeds, inner) : {};
      for (const [name, histogram] of histograms) {
        histogram.add((outputs[name] ?? feeds[name])!.data as Float32Array);
      }
    }
  } finally {
    await session.close();
  }
}
