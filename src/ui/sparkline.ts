const bars = '▁▂▃▄▅▆▇█';

/**
 * A row of numbers as bars, from the lowest for the least to the highest for the greatest. More numbers than `width` are
 * drawn together, each bar the mean of its share. A number that is none leaves a gap.
 */
export function sparkline(values: readonly number[], width = 12): string {
  const count = Math.min(width, values.length);
  const means = Array.from({ length: count }, (_, at) => {
    const part = values.slice(
      Math.floor((at * values.length) / count),
      Math.floor(((at + 1) * values.length) / count),
    );
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const finite = means.filter(Number.isFinite);
  const [least, most] = [Math.min(...finite), Math.max(...finite)];
  const barOf = (value: number): string => {
    if (!Number.isFinite(value)) return ' ';
    const share = most === least ? 0 : (value - least) / (most - least);
    return bars[Math.min(bars.length - 1, Math.floor(share * bars.length))]!;
  };
  return means.map(barOf).join('');
}
