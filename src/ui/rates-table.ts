import { formatTable } from './table.js';

interface Rates {
  readonly configured: number;
  readonly suggestion: number | undefined;
  readonly setting: string;
  readonly points: readonly { readonly learningRate: number; readonly smoothed: number }[];
}

/** Points that are shown, spread over the rates. */
const shown = 16;
/** Width of the longest bar. */
const width = 30;

/** What `maas train --find-lr` found: the losses over the rates as bars, and the suggestion. */
export function ratesTable(
  { configured, suggestion, setting, points }: Rates,
  { color }: { color: boolean },
): string {
  const step = Math.max(1, points.length / shown);
  const picked = Array.from(
    { length: Math.min(shown, points.length) },
    (_, at) => points[Math.floor(at * step)]!,
  );
  const losses = points.map(({ smoothed }) => smoothed).filter(Number.isFinite);
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const rows = picked.map(({ learningRate, smoothed }) => [
    learningRate.toExponential(1),
    smoothed.toPrecision(4),
    '█'.repeat(Math.max(1, Math.round((width * (smoothed - least)) / (most - least || 1)))),
  ]);
  const table = formatTable(rows, { header: ['learning rate', 'loss', ''], right: [0, 1], color });
  const verdict =
    suggestion === undefined
      ? 'No rate made the loss fall: look at the data, or at the model.'
      : `Suggestion: --set ${setting}=${suggestion} (the config has ${configured}).`;
  return `${table}\n\n${verdict}`;
}
