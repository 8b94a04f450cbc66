import { z } from 'zod';
import { attr } from '../../ir/graph.js';
import { tensor } from '../../ir/tensor.js';
import type { Transform } from './transform.js';

const options = z
  .strictObject({
    numBins: z
      .int()
      .min(2)
      .max(1000)
      .optional()
      .describe('Bins with about as many rows of the train split each. Default: 10.'),
    binBoundaries: z
      .array(z.number())
      .min(1)
      .optional()
      .describe('Where one bin ends and the next, which the boundary belongs to, begins.'),
  })
  .check((context) => {
    const { numBins, binBoundaries = [] } = context.value;
    const report = (path: (string | number)[], message: string): void => {
      context.issues.push({ code: 'custom', input: context.value, path, message });
    };
    if (numBins !== undefined && binBoundaries.length > 0)
      report(['numBins'], 'the boundaries say how many bins there are: remove numBins, or binBoundaries');
    binBoundaries.forEach((value, index) => {
      if (index > 0 && !(value > binBoundaries[index - 1]!))
        report(
          ['binBoundaries', index],
          `boundaries go up: ${value} is not above ${binBoundaries[index - 1]!}`,
        );
    });
  });

/** Boundaries between bins, ascending. */
export interface Bins {
  readonly boundaries: readonly number[];
}

/** Quantiles are taken of this many values at most, evenly chosen. */
const mostValues = 2 ** 20;

/** A column for each bin, 1 where the value lies. What is no number lies in none. */
export const discretization: Transform<number, z.output<typeof options>, Bins> = {
  summary: 'bins of values, a column each',
  options,
  takes: 'number',
  fit(values, { numBins = 10, binBoundaries }) {
    return { boundaries: binBoundaries ?? quantiles(values, numBins) };
  },
  emit({ g }, x, columns) {
    const parts = columns.map(({ facts: { boundaries }, feature }, index) => {
      const column = columns.length === 1 ? x : g.op('Gather', [x, g.int64s([index])], { axis: attr.int(1) });
      const edge = (values: readonly number[], stem: string) =>
        g.constant(tensor('float32', [1, values.length], values), `${feature.name}.${stem}`);
      const above = g.op('GreaterOrEqual', [column, edge([-Infinity, ...boundaries], 'from')]);
      const below = g.op('Less', [column, edge([...boundaries, Infinity], 'to')]);
      return g.op('Cast', [g.op('And', [above, below])], { to: attr.int(1) });
    });
    return parts.length === 1 ? parts[0]! : g.op('Concat', parts, { axis: attr.int(1) });
  },
};

/** Different boundaries between `bins` parts with as many values each, as far as equal values allow. */
function quantiles(values: Iterable<number>, bins: number): number[] {
  // Every second of those chosen so far is left out when there are too many.
  let chosen: number[] = [];
  let [step, index] = [1, 0];
  for (const value of values) {
    if (index++ % step !== 0) continue;
    chosen.push(value);
    if (chosen.length < mostValues) continue;
    chosen = chosen.filter((_, at) => at % 2 === 0);
    step *= 2;
  }
  const sorted = Float64Array.from(chosen).sort();
  const boundaries = Array.from({ length: bins - 1 }, (_, at) => {
    const place = ((at + 1) / bins) * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return Math.fround(low + (high - low) * (place % 1));
  });
  return [...new Set(boundaries)];
}
