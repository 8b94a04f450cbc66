/** One-sided bounds of what rows that nobody has seen would show, from a sample of rows. */

/**
 * The standard normal quantile: 1.645 for 0.95. Good to seven digits (Newton's method on the distribution, whose tail is by
 * Abramowitz and Stegun, 7.1.26, good to 1.5e-7).
 */
export function normalQuantile(share: number): number {
  if (share < 0.5) return -normalQuantile(1 - share);
  let [low, high] = [0, 9];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (normalShare(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Share of the standard normal distribution below `z` ≥ 0. */
function normalShare(z: number): number {
  const x = z / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return 1 - (series * Math.exp(-x * x)) / 2;
}

/** Least share that `hits` of `rows` speak for: Wilson's score bound (J. Am. Stat. Assoc. 22, 1927). */
export function shareAtLeast(hits: number, rows: number, confidence: number): number {
  if (rows === 0) return 0;
  const z = normalQuantile(confidence);
  const p = hits / rows;
  const spread = z * Math.sqrt((p * (1 - p)) / rows + (z / (2 * rows)) ** 2);
  return Math.max(0, (p + z ** 2 / (2 * rows) - spread) / (1 + z ** 2 / rows));
}

/** What changed on the same rows: those that were right and no longer are, and those that have become so. */
export interface Change {
  readonly rows: number;
  readonly lost: number;
  readonly gained: number;
}

/**
 * Largest drop of a share that such a change speaks for: Tango's score bound for paired rows (Statistics in Medicine 17,
 * 1998), which without gains is Wilson's. Both hold for few rows too, where those by the normal distribution do not.
 */
export function dropAtMost({ rows, lost, gained }: Change, confidence: number): number {
  if (rows === 0) return 1;
  const z = normalQuantile(confidence);
  const isPlausible = (drop: number): boolean => {
    // The likeliest share of gains, were that the drop.
    const b = (2 * rows - lost + gained) * drop - lost - gained;
    const c = -gained * drop * (1 - drop);
    const gains = (Math.sqrt(b ** 2 - 8 * rows * c) - b) / (4 * rows);
    const variance = rows * (2 * gains + drop * (1 - drop));
    return rows * drop - (lost - gained) <= z * Math.sqrt(Math.max(0, variance));
  };
  let [low, high] = [(lost - gained) / rows, 1];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (isPlausible(middle)) low = middle;
    else high = middle;
  }
  return high;
}

/** Rows that it takes at least to show that a share drops by no more than `drop`, when none of them is lost. */
export function rowsFor(drop: number, confidence: number): number {
  return drop <= 0 ? Infinity : Math.ceil((normalQuantile(confidence) ** 2 * (1 - drop)) / drop);
}

/** Sums over rows of two numbers that each has, and of their products. */
export interface Moments {
  readonly rows: number;
  readonly a: number;
  readonly b: number;
  readonly aa: number;
  readonly ab: number;
  readonly bb: number;
}

export function momentsOf(rows: number, pairOf: (row: number) => readonly [a: number, b: number]): Moments {
  const sums = { rows, a: 0, b: 0, aa: 0, ab: 0, bb: 0 };
  for (let row = 0; row < rows; row++) {
    const [a, b] = pairOf(row);
    sums.a += a;
    sums.b += b;
    sums.aa += a * a;
    sums.ab += a * b;
    sums.bb += b * b;
  }
  return sums;
}

/**
 * Largest ratio of the mean of a to that of b that paired rows speak for: Fieller's bound (J. R. Stat. Soc. B 16, 1954).
 * Infinity where the rows cannot tell the mean of b from 0.
 */
export function ratioAtMost({ rows, a, b, aa, ab, bb }: Moments, confidence: number): number {
  if (![a, b, aa, ab, bb].every(Number.isFinite)) return NaN;
  if (rows < 2) return Infinity;
  const z = normalQuantile(confidence);
  const [meanA, meanB] = [a / rows, b / rows];
  const part = z ** 2 / (rows * (rows - 1));
  const square = meanB ** 2 - part * Math.max(0, bb - rows * meanB ** 2);
  const half = meanA * meanB - part * (ab - rows * meanA * meanB);
  const rest = meanA ** 2 - part * Math.max(0, aa - rows * meanA ** 2);
  if (square <= 0) return Infinity;
  return (half + Math.sqrt(Math.max(0, half ** 2 - square * rest))) / square;
}
