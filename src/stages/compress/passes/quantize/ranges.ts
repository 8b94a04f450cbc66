/** Numbers that an activation takes. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** value = scale · (integer − zero), integers from 0 to 255. */
export interface Grid {
  readonly scale: number;
  readonly zero: number;
}

const steps = 255;

/** The uint8 grid over a range. 0 is on it exactly: paddings and what Relu cuts off stay what they are. */
export function gridOf({ low, high }: Range): Grid {
  const [from, to] = [Math.min(low, 0), Math.max(high, 0)];
  const scale = Math.fround((to - from) / steps);
  // A range too small for a float32 scale holds nothing but zero.
  if (!(scale > 0)) return { scale: 1, zero: 0 };
  return { scale, zero: Math.max(0, Math.min(steps, Math.round(-from / scale))) };
}

/** How often an activation's values fell into equal parts of its range. */
export class Histogram {
  readonly counts: Float64Array;
  private readonly width: number;

  constructor(
    readonly range: Range,
    bins = 2048,
  ) {
    this.counts = new Float64Array(bins);
    this.width = (range.high - range.low) / bins;
  }

  add(values: Float32Array | readonly number[]): void {
    const last = this.counts.length - 1;
    for (const value of values) {
      const bin = this.width > 0 ? Math.floor((value - this.range.low) / this.width) : 0;
      this.counts[Math.max(0, Math.min(last, bin))]! += 1;
    }
  }

  centreOf(bin: number): number {
    return this.range.low + (bin + 0.5) * this.width;
  }

  /** The value below which this share of all values lies. */
  quantile(share: number): number {
    const rank = share * this.counts.reduce((sum, count) => sum + count, 0);
    let below = 0;
    for (let bin = 0; bin < this.counts.length; bin++) {
      below += this.counts[bin]!;
      if (below >= rank) return this.range.low + (bin + (share < 0.5 ? 0 : 1)) * this.width;
    }
    return this.range.high;
  }
}

/** Leaves `1 − share` of the values outside, half of them at each end. */
export function percentileRange(histogram: Histogram, share: number): Range {
  const tail = (1 - share) / 2;
  return { low: histogram.quantile(tail), high: histogram.quantile(1 - tail) };
}

/** The range, shrunk at either end, whose grid gives the values back with the least mean squared error. */
export function leastErrorRange(histogram: Histogram): Range {
  const { low, high } = histogram.range;
  let best: Range = histogram.range;
  let least = errorOf(histogram, best);
  // Either end by itself: activations behind a Relu have all their outliers at one.
  for (let share = 0.98; share > 0.2; share -= 0.02) {
    const candidates = [
      { low: low * share, high: best.high },
      { low: best.low, high: high * share },
    ];
    for (const candidate of candidates) {
      const error = errorOf(histogram, candidate);
      if (error < least) [best, least] = [candidate, error];
    }
  }
  return best;
}

/** Summed squared error of a histogram's values on the grid of `range`. */
export function errorOf(histogram: Histogram, range: Range): number {
  const { scale, zero } = gridOf(range);
  let error = 0;
  histogram.counts.forEach((count, bin) => {
    if (count === 0) return;
    const value = histogram.centreOf(bin);
    const integer = Math.max(0, Math.min(steps, Math.round(value / scale) + zero));
    error += count * (value - scale * (integer - zero)) ** 2;
  });
  return error;
}
