import { Counter, Gauge, Histogram, Registry, type Aggregator } from 'prom-client';
import type { ServedModel } from '../../plugin/api.js';
import type { CacheResult } from './answer-cache.js';
import { FastHistogram } from './histogram.js';
import type { ModelHost } from './model-host.js';
import type { ElementKind } from './padding/padded-runs.js';
import type { Counts } from './processes/messages.js';
import type { ShadowReport } from './traffic.js';
import type { WatchedModel } from './watch/watch-model.js';

type Identity = Pick<ServedModel, 'name' | 'version'>;

export interface Exchange {
  /** Protocol that answered, or `maas` for the server's own pages and errors. */
  readonly protocol: string;
  readonly status: number;
  readonly model: Identity | undefined;
  readonly seconds: number;
}

export interface Metrics {
  readonly contentType: string;
  /** The text form that Prometheus reads. */
  readonly print: () => Promise<string>;
  /** The same as data. */
  readonly read: () => Promise<Counts>;
  readonly began: () => void;
  readonly ended: (exchange: Exchange) => void;
  /** The caller went away before the answer. */
  readonly abandoned: () => void;
  readonly ran: (model: Identity, rows: number, seconds: number) => void;
  readonly filled: (model: Identity, kind: ElementKind, elements: number) => void;
  readonly cacheUsed: (model: Identity, result: CacheResult) => void;
  readonly shadowed: (report: ShadowReport) => void;
  /** A worker died, hung or did not start. */
  readonly workerLost: () => void;
  readonly reloaded: (result: 'done' | 'refused') => void;
  readonly sampled: (lines: number) => void;
  readonly sampleDropped: (lines: number) => void;
}

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const rowCounts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/**
 * Metrics of one server, in a registry of its own. Names follow https://prometheus.io/docs/practices/naming/: base
 * units, `_total` on counters. Labels hold only names that the server gave itself, never a caller's text.
 */
export function createMetrics(host: Pick<ModelHost, 'models' | 'ready'>): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const labels = ['model', 'version', 'protocol', 'status'] as const;
  let inFlight = 0;
  new Counter({
    name: 'maas_requests_total',
    help: 'Requests answered.',
    labelNames: labels,
    registers,
    collect() {
      this.reset();
      for (const { labels: of, count } of durations.all()) this.inc(of, count);
    },
  });
  const durations = new FastHistogram<(typeof labels)[number]>({
    name: 'maas_request_duration_seconds',
    help: 'Time from the first byte of a request to the end of its answer.',
    buckets: seconds,
    registers,
  });
  new Gauge({
    name: 'maas_requests_in_flight',
    help: 'Requests being read or answered.',
    registers,
    collect() {
      this.set(inFlight);
    },
  });
  const batches = new FastHistogram<'model' | 'version'>({
    name: 'maas_batch_rows',
    help: 'Rows in one run of the model.',
    buckets: rowCounts,
    registers,
  });
  const runs = new FastHistogram<'model' | 'version'>({
    name: 'maas_run_duration_seconds',
    help: 'Time of one run of the model.',
    buckets: seconds,
    registers,
  });
  const elements = new Counter({
    name: 'maas_padded_elements_total',
    help: 'Elements of the inputs that are padded: those of requests (data), and those that fill up their runs (padding).',
    labelNames: ['model', 'version', 'kind'],
    registers,
  });
  const cacheUses = new Counter({
    name: 'maas_cache_requests_total',
    help: 'Requests whose answer was kept (hit), was not (miss), or came of an equal request under way (shared).',
    labelNames: ['model', 'version', 'result'],
    registers,
  });
  const shadows = new Counter({
    name: 'maas_shadow_requests_total',
    help: 'Requests that a shadow got a second time, by how its answer compared.',
    labelNames: ['model', 'version', 'shadow', 'result'],
    registers,
  });
  const differences = new Histogram({
    name: 'maas_shadow_difference',
    help: "Greatest difference of two numbers of a model's and its shadow's answer.",
    labelNames: ['model', 'version', 'shadow'],
    buckets: [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10],
    registers,
  });
  const reloads = new Counter({
    name: 'maas_reloads_total',
    aggregator: 'max',
    help: 'Releases that the server went over to, or refused.',
    labelNames: ['result'],
    registers,
  });
  const losses = new Counter({
    name: 'maas_workers_lost_total',
    help: 'Worker threads that died, hung or did not start, and were replaced.',
    registers,
  });
  new Gauge({
    name: 'maas_queue_depth',
    help: 'Requests that wait for a run of the model.',
    labelNames: ['model', 'version'],
    registers,
    collect() {
      this.reset();
      for (const { name, version, depth } of host.models()) this.set({ model: name, version }, depth);
    },
  });
  new Gauge({
    name: 'maas_ready',
    aggregator: 'min',
    help: '1 when the server is ready for requests.',
    registers,
    collect() {
      this.set(host.ready ? 1 : 0);
    },
  });
  new Gauge({
    name: 'maas_model_info',
    aggregator: 'min',
    help: 'The models that are served; the version of a release is its digest.',
    labelNames: ['model', 'version', 'project', 'batching'],
    registers,
    collect() {
      this.reset();
      for (const { name, version, projectName, batching } of host.models()) {
        this.set({ model: name, version, project: projectName, batching: String(batching) }, 1);
      }
    },
  });
  new Gauge({
    name: 'maas_model_size_bytes',
    aggregator: 'max',
    help: 'Size of the model on disk.',
    labelNames: ['model', 'version'],
    registers,
    collect() {
      this.reset();
      for (const { name, version, size } of host.models()) this.set({ model: name, version }, size);
    },
  });
  new Gauge({
    name: 'maas_cache_bytes',
    help: 'Size of the answers that are kept.',
    labelNames: ['model', 'version'],
    registers,
    collect() {
      this.reset();
      for (const { name, version, cached } of host.models()) this.set({ model: name, version }, cached);
    },
  });
  const samples = new Counter({
    name: 'maas_samples_total',
    help: 'Requests that were taken for serve.sample.file.',
    registers,
  });
  const dropped = new Counter({
    name: 'maas_samples_dropped_total',
    help: 'Requests that were taken and not written: too large, or the disk was too slow or full.',
    registers,
  });
  addDriftMetrics(registers, host);
  addProcessMetrics(registers);
  const exchanges = remember((model: string, version: string, protocol: string, status: string) => {
    return durations.series({ model, version, protocol, status });
  });
  const models = remember((model: string, version: string) => {
    const of = { model, version };
    return { batches: batches.series(of), runs: runs.series(of) };
  });

  return {
    contentType: registry.contentType,
    print: () => registry.metrics(),
    read: () => registry.getMetricsAsJSON(),
    began: () => {
      inFlight++;
    },
    ended({ protocol, status, model, seconds: duration }) {
      inFlight--;
      exchanges(
        model?.name ?? '',
        model?.version ?? '',
        protocol,
        status === 200 ? '200' : String(status),
      ).observe(duration);
    },
    abandoned: () => {
      inFlight--;
    },
    ran({ name, version }, rows, duration) {
      const of = models(name, version);
      of.batches.observe(rows);
      of.runs.observe(duration);
    },
    filled: ({ name, version }, kind, count) => {
      elements.inc({ model: name, version, kind }, count);
    },
    cacheUsed: ({ name, version }, result) => {
      cacheUses.inc({ model: name, version, result });
    },
    shadowed({ result, difference, ...of }) {
      shadows.inc({ ...of, result });
      if (difference !== undefined) differences.observe(of, difference);
    },
    workerLost: () => {
      losses.inc();
    },
    reloaded: (result) => {
      reloads.inc({ result });
    },
    sampled: (lines) => {
      samples.inc(lines);
    },
    sampleDropped: (lines) => {
      dropped.inc(lines);
    },
  };
}

/** Finding the series of some labels takes longer than counting it: each is looked up once. */
function remember<Labels extends string[], T>(find: (...labels: Labels) => T): (...labels: Labels) => T {
  const found = new Map<string, T>();
  let last: { readonly labels: Labels; readonly series: T } | undefined;
  return (...labels) => {
    if (last?.labels.every((label, index) => label === labels[index])) return last.series;
    const key = labels.join('\0');
    let series = found.get(key);
    if (series === undefined) found.set(key, (series = find(...labels)));
    last = { labels, series };
    return series;
  };
}

/** Of models that are watched, once they have seen rows enough. */
function addDriftMetrics(registers: Registry[], host: Pick<ModelHost, 'models'>): void {
  const labels = ['model', 'version', 'kind', 'name'] as const;
  const watched = (): WatchedModel[] => host.models();
  const gauge = (name: string, help: string, of: 'psi' | 'jensenShannon'): void => {
    new Gauge({
      name,
      help,
      labelNames: labels,
      registers,
      collect() {
        this.reset();
        for (const { name: model, version, drift } of watched()) {
          for (const report of drift?.report() ?? [])
            this.set({ model, version, kind: report.kind, name: report.name }, report[of]);
        }
      },
    });
  };
  gauge(
    'maas_drift_psi',
    'Population stability index against the training data; above 0.25 much changed.',
    'psi',
  );
  gauge('maas_drift_js', 'Jensen-Shannon distance from the training data, 0 to 1.', 'jensenShannon');
  new Gauge({
    name: 'maas_drift_rows',
    help: 'Rows that are compared with the training data.',
    labelNames: ['model', 'version'],
    registers,
    collect() {
      this.reset();
      for (const { name: model, version, drift } of watched()) {
        if (drift) this.set({ model, version }, drift.rows);
      }
    },
  });
}

/**
 * The process metrics that dashboards ask for first. prom-client's own set starts observers and timers that nothing
 * can stop again; these only look when they are asked.
 */
function addProcessMetrics(registers: Registry[]): void {
  let counted = 0;
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time in seconds.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const total = (user + system) / 1e6;
      this.inc(total - counted);
      counted = total;
    },
  });
  gauge(
    'process_start_time_seconds',
    'Start of the process, in seconds since 1970.',
    () => performance.timeOrigin / 1000,
    'min',
  );
  gauge('process_resident_memory_bytes', 'Resident memory in bytes.', () => process.memoryUsage.rss());
  gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use, in bytes.', () => {
    return process.memoryUsage().heapUsed;
  });
  gauge('nodejs_heap_size_total_bytes', 'JavaScript heap, in bytes, with what is free in it.', () => {
    return process.memoryUsage().heapTotal;
  });
  gauge('nodejs_external_memory_bytes', 'Buffers outside of the JavaScript heap, in bytes.', () => {
    return process.memoryUsage().external;
  });
  gauge(
    'nodejs_eventloop_utilization',
    'Share of time in which the event loop was busy, from 0 to 1.',
    () => performance.eventLoopUtilization().utilization,
    'average',
  );

  function gauge(name: string, help: string, read: () => number, aggregator: Aggregator = 'sum'): void {
    new Gauge({
      name,
      help,
      aggregator,
      registers,
      collect() {
        this.set(read());
      },
    });
  }
}
