import type { Metric, Registry } from 'prom-client';

/** One series of a histogram. */
export class Series<Labels extends string = string> {
  readonly labels: Readonly<Record<Labels, string>>;
  readonly #bounds: Float64Array;
  /** Of values up to each bound, and above the last; not cumulative. */
  readonly #counts: Float64Array;
  #count = 0;
  #sum = 0;

  constructor(labels: Readonly<Record<Labels, string>>, bounds: Float64Array) {
    this.labels = labels;
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.#counts[at]! += 1;
    this.#count++;
    this.#sum += value;
  }

  /** As prom-client gives the values of a histogram. */
  values(name: string): readonly object[] {
    const { labels } = this;
    let count = 0;
    const buckets = Array.from(this.#counts, (more, at) => {
      const le = this.#bounds[at] ?? '+Inf';
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: (count += more) };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

/**
 * A histogram for what happens with each request: its series count in place, where prom-client looks a series and its bucket
 * up by text for each value. https://prometheus.io/docs/concepts/metric_types/#histogram
 */
export class FastHistogram<Labels extends string> {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: Float64Array;
  readonly #series: Series<Labels>[] = [];

  /** @param options.buckets Upper bounds, ascending. */
  constructor(options: { name: string; help: string; buckets: readonly number[]; registers: Registry[] }) {
    this.name = options.name;
    this.#help = options.help;
    this.#bounds = Float64Array.from(options.buckets);
    // Of a metric a registry takes its name, and `get`.
    for (const registry of options.registers) registry.registerMetric(this as unknown as Metric);
  }

  /** The series of these labels, to be asked for once. */
  series(labels: Readonly<Record<Labels, string>>): Series<Labels> {
    const series = new Series(labels, this.#bounds);
    this.#series.push(series);
    return series;
  }

  all(): readonly Series<Labels>[] {
    return this.#series;
  }

  /** What a registry prints. */
  get(): Promise<object> {
    return Promise.resolve({
      name: this.name,
      help: this.#help,
      type: 'histogram',
      aggregator: 'sum',
      values: this.#series.flatMap((series) => series.values(this.name)),
    });
  }
}
