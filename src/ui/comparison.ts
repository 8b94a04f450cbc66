import { isBrief } from '../evaluate/figures.js';
import { formatBytes, formatNumber } from './format.js';
import { formatTable } from './table.js';

type Figures = Readonly<Record<string, unknown>>;

interface Latency {
  /** Rows in one run. */
  readonly batch: number;
  /** Microseconds. */
  readonly before: number;
  readonly after: number;
  readonly ratio: number;
}

/**
 * A model before and after compression, side by side. Reads what is there: figures that `before` has too, the size in
 * bytes with its ratio, and measured latencies.
 */
export function compareFigures(metrics: Figures, measured: Figures, color: boolean): string {
  const before = metrics['before'] as Figures;
  const rows: string[][] = [];
  for (const [name, value] of Object.entries(metrics)) {
    const former = before[name];
    if (typeof value !== 'number' || typeof former !== 'number' || !isBrief(name)) continue;
    rows.push([name, formatNumber(former), formatNumber(value), '']);
  }
  const { bytes, sizeRatio } = metrics;
  if (typeof bytes === 'number' && typeof sizeRatio === 'number') {
    rows.push(['size', formatBytes(bytes / sizeRatio), formatBytes(bytes), times(sizeRatio)]);
  }
  for (const latency of listLatencies(measured['latency'])) {
    const name = `time for ${latency.batch} ${latency.batch === 1 ? 'row' : 'rows'}`;
    rows.push([name, micros(latency.before), micros(latency.after), times(latency.ratio)]);
  }
  return formatTable(rows, { header: ['', 'BEFORE', 'AFTER', ''], right: [1, 2, 3], color });
}

function listLatencies(value: unknown): Latency[] {
  const isLatency = (each: Partial<Latency>): each is Latency =>
    [each.batch, each.before, each.after, each.ratio].every((figure) => typeof figure === 'number');
  return Array.isArray(value) ? (value as Partial<Latency>[]).filter(isLatency) : [];
}

function micros(value: number): string {
  return value < 1000 ? `${formatNumber(value)} µs` : `${formatNumber(value / 1000)} ms`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} ×`;
}
