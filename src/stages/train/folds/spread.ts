/** A figure over several folds. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation, over n − 1. */
  readonly sd: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: Math.sqrt(squares / Math.max(1, values.length - 1)) };
}

/** Spreads of the figures that every fold has. */
export function spreadFigures(
  folds: readonly Readonly<Record<string, number>>[],
): Readonly<Record<string, Spread>> {
  const names = Object.keys(folds[0] ?? {}).filter((name) => folds.every((fold) => name in fold));
  return Object.fromEntries(names.map((name) => [name, spreadOf(folds.map((fold) => fold[name]!))]));
}
