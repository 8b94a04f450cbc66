import {
  Registry,
  type Metric as Registered,
  type MetricObjectWithValues,
  type MetricValue,
} from 'prom-client';
import type { Counts } from './messages.js';

type Metric = MetricObjectWithValues<MetricValue<string>>;
type Value = MetricValue<string> & { readonly metricName?: string };

/** By the name that a metric gives in `aggregator`; those of `min` hold for what every process has. */
const ways: Readonly<Record<string, (values: readonly number[]) => number>> = {
  sum: (values) => values.reduce((sum, value) => sum + value, 0),
  average: (values) => values.reduce((sum, value) => sum + value, 0) / values.length,
  max: (values) => Math.max(...values),
  min: (values) => Math.min(...values),
};

/** What several processes counted, as if one had. */
export function mergeCounts(all: readonly Counts[]): Counts {
  const groups = new Map<string, Metric[]>();
  for (const metric of all.flat()) {
    const group = groups.get(metric.name);
    if (group) group.push(metric);
    else groups.set(metric.name, [metric]);
  }
  return [...groups.values()].map((group) => ({ ...group[0]!, values: mergeValues(group) }));
}

/** Of what a process counted, that which must not get less when the process ends. */
export function lasting(counts: Counts): Counts {
  return counts.filter(({ type }) => ['counter', 'histogram'].includes(String(type)));
}

/** In the text form that Prometheus reads. */
export function printCounts(counts: Counts): Promise<string> {
  const registry = new Registry();
  // Of a metric a registry takes its name, and `get`.
  for (const metric of counts) {
    registry.registerMetric({
      name: metric.name,
      get: () => Promise.resolve(metric),
    } as unknown as Registered);
  }
  return registry.metrics();
}

function mergeValues(group: readonly Metric[]): Value[] {
  const way = group[0]!.aggregator ?? 'sum';
  const combine = ways[way];
  if (!combine) throw new Error(`there is no way ${way} to merge ${group[0]!.name}`);
  const series = new Map<string, { readonly first: Value; readonly values: number[] }>();
  for (const value of group.flatMap(({ values }) => values as Value[])) {
    const labels = Object.entries(value.labels).sort(([a], [b]) => (a < b ? -1 : 1));
    const key = JSON.stringify([value.metricName, labels]);
    const known = series.get(key);
    if (known) known.values.push(value.value);
    else series.set(key, { first: value, values: [value.value] });
  }
  return [...series.values()]
    .filter(({ values }) => way !== 'min' || values.length === group.length)
    .map(({ first, values }) => ({ ...first, value: combine(values) }));
}
