import { formatTable } from './table.js';

interface Point {
  readonly concurrency?: number;
  readonly rate?: number;
  readonly requests: number;
  readonly failed: number;
  readonly throughput: number;
  readonly latency: Readonly<Record<'p50' | 'p90' | 'p99' | 'p999' | 'max', number>>;
}

/** What `maas bench` measured: a line for each number of callers, and for each rate. */
export function loadTable(
  { results }: { readonly results: readonly Point[] },
  { color, batch }: { readonly color: boolean; readonly batch: number },
): string {
  const time = (ms: number): string => (Number.isNaN(ms) ? '–' : `${ms.toPrecision(3)} ms`);
  const rows = results.map(({ concurrency, rate, requests, failed, throughput, latency }) => [
    rate === undefined ? `${concurrency} ${concurrency === 1 ? 'caller' : 'callers'}` : `${rate} requests/s`,
    String(requests),
    String(failed),
    throughput.toFixed(throughput < 100 ? 1 : 0),
    (throughput * batch).toFixed(throughput < 100 ? 1 : 0),
    ...[latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(time),
  ]);
  const header = ['load', 'requests', 'failed', 'answers/s', 'rows/s', 'p50', 'p90', 'p99', 'p99.9', 'max'];
  return formatTable(rows, { header, right: header.map((_, at) => at).slice(1), color });
}
