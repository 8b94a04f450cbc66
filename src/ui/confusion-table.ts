import type { Confusion } from '../evaluate/index.js';
import { formatNumber } from './format.js';
import { formatTable } from './table.js';

/** Wider matrices fit on no terminal. */
const mostLabels = 12;

/** Which labels were taken for which, a line for each true label; nothing for more labels than a terminal has room for. */
export function confusionTable(value: unknown, color: boolean): string | undefined {
  const { labels, counts } = (value ?? {}) as Partial<Confusion>;
  if (!labels || !counts || labels.length > mostLabels) return undefined;
  const rows = labels.map((label, at) => {
    const row = counts[at]!;
    const total = row.reduce((sum, count) => sum + count, 0);
    return [label, ...row.map(String), total === 0 ? '-' : formatNumber(row[at]! / total)];
  });
  const header = ['TRUTH \\ PREDICTED', ...labels, 'RECALL'];
  return formatTable(rows, { header, right: header.map((_, at) => at).slice(1), color });
}
