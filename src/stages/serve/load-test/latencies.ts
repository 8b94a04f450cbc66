/** Times of requests, in milliseconds. Grows as needed; all of them are kept, so that percentiles are exact. */
export class Latencies {
  private times = new Float64Array(4096);
  private count = 0;

  add(time: number): void {
    if (this.count === this.times.length) {
      const grown = new Float64Array(2 * this.count);
      grown.set(this.times);
      this.times = grown;
    }
    this.times[this.count++] = time;
  }

  summarize(): LatencySummary {
    const sorted = this.times.slice(0, this.count).sort();
    // Nearest rank: the smallest time that at least so large a share of requests kept to.
    const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
    return {
      mean: sorted.reduce((sum, time) => sum + time, 0) / sorted.length,
      p50: at(0.5),
      p90: at(0.9),
      p95: at(0.95),
      p99: at(0.99),
      p999: at(0.999),
      max: at(1),
    };
  }
}

/** Milliseconds; NaN where no request was answered. */
export interface LatencySummary {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}
