import { formatTable } from './table.js';

interface Layers {
  readonly recipe: readonly string[];
  readonly rows: number;
  readonly bytes: number;
  readonly microseconds: number;
  readonly layers: readonly {
    readonly node: string;
    readonly op: string;
    readonly weights: readonly number[];
    readonly bytes: number;
    readonly microseconds: number;
    readonly signalToNoise?: number;
    readonly decision: string;
  }[];
}

/** Nodes without weights, and without a share of the time that counts, are told of together. */
const leastShare = 0.01;

/** What `maas compress --explain` found, a line for each layer. */
export function layersTable(
  { recipe, rows, bytes, microseconds, layers }: Layers,
  { color }: { color: boolean },
): string {
  const share = (part: number, of: number): string => (of > 0 ? `${((100 * part) / of).toFixed(1)} %` : '-');
  const isShown = (layer: Layers['layers'][number]): boolean =>
    layer.decision !== '' ||
    layer.bytes > leastShare * bytes ||
    layer.microseconds > leastShare * microseconds;
  const line = ({
    node,
    op,
    weights,
    signalToNoise,
    decision,
    ...layer
  }: Layers['layers'][number]): string[] => [
    node,
    op,
    weights.join(' × '),
    String(layer.bytes),
    share(layer.bytes, bytes),
    layer.microseconds.toFixed(0),
    share(layer.microseconds, microseconds),
    signalToNoise === undefined
      ? ''
      : Number.isFinite(signalToNoise)
        ? `${signalToNoise.toFixed(1)} dB`
        : 'exact',
    decision,
  ];
  const shown = layers.filter(isShown);
  const rest = layers.filter((layer) => !isShown(layer));
  const sum = (figure: 'bytes' | 'microseconds'): number => rest.reduce((all, one) => all + one[figure], 0);
  const others = { node: `${rest.length} others`, op: '', weights: [], decision: '' };
  const lines = [
    ...shown.map(line),
    ...(rest.length > 0 ? [line({ ...others, bytes: sum('bytes'), microseconds: sum('microseconds') })] : []),
  ];
  const header = ['NODE', 'OPERATOR', 'WEIGHTS', 'BYTES', '', 'µS', '', 'ALONE', 'DECISION'];
  const table = formatTable(lines, { header, right: [3, 4, 5, 6, 7], color });
  const what = rows === 1 ? '1 row' : `${rows} rows`;
  return `${table}\n\n${bytes} bytes of constants; ${microseconds.toFixed(0)} µs for ${what}. Passes: ${recipe.join(', ')}.`;
}
