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
  return searchRange(histogram, errorOf);
}

/**
 * The range, shrunk at either end, on whose grid the distribution of the values diverges least from what it was
 * (Kullback and Leibler; Migacz, "8-bit Inference with TensorRT", 2017).
 */
export function leastDivergenceRange(histogram: Histogram): Range {
  return searchRange(histogram, divergenceOf);
}

function searchRange(histogram: Histogram, costOf: (histogram: Histogram, range: Range) => number): Range {
  const { low, high } = histogram.range;
  let best: Range = histogram.range;
  let least = costOf(histogram, best);
  // Either end by itself: activations behind a Relu have all their outliers at one.
  for (let share = 0.98; share > 0.2; share -= 0.02) {
    const candidates = [
      { low: low * share, high: best.high },
      { low: best.low, high: high * share },
    ];
    for (const candidate of candidates) {
      const error = costOf(histogram, candidate);
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

/** Less than any share of values that a histogram tells. */
const tiny = 1e-9;

/**
 * Divergence of a histogram's values, cut off at the ends of `range`, from the same spread evenly over what each level
 * of its grid stands for. The bin of 0 does not count: 0 is on every grid, and behind a Relu it would outweigh all else.
 */
export function divergenceOf(histogram: Histogram, range: Range): number {
  const { counts } = histogram;
  const { scale, zero } = gridOf(range);
  const bins = counts.length;
  const width = (histogram.range.high - histogram.range.low) / bins;
  const levels = Int32Array.from(counts, (_, bin) => {
    return Math.round(histogram.centreOf(bin) / scale) + zero;
  });
  const ofZero = Math.floor(-histogram.range.low / width);
  const [inside, filled, cut] = [
    new Float64Array(steps + 1),
    new Float64Array(steps + 1),
    Float64Array.from(counts),
  ];
  let [all, kept] = [0, 0];
  let [first, last] = [-1, -1];
  counts.forEach((count, bin) => {
    const level = levels[bin]!;
    if (bin === ofZero) cut[bin] = 0;
    else if (level >= 0 && level <= steps) {
      if (first < 0) first = bin;
      last = bin;
      inside[level]! += count;
      filled[level]! += count > 0 ? 1 : 0;
      kept += count;
    }
    all += bin === ofZero ? 0 : count;
  });
  if (all === 0 || kept === 0) return 0;
  for (let bin = 0; bin < bins; bin++) {
    if (bin >= first && bin <= last) continue;
    const at = bin < first ? first : last;
    cut[at]! += cut[bin]!;
    cut[bin] = 0;
  }
  let divergence = 0;
  for (let bin = first; bin <= last; bin++) {
    const share = cut[bin]! / all;
    if (share === 0) continue;
    const level = levels[bin]!;
    const even = counts[bin]! > 0 && bin !== ofZero ? inside[level]! / filled[level]! / kept : 0;
    divergence += share * Math.log(share / Math.max(even, tiny));
  }
  return divergence;
}
