/** How many rows had a number in each range: below the first edge, from each edge up to the next, from the last one on. */
export interface NumberCounts {
  readonly type: 'number';
  readonly edges: readonly number[];
  /** One more than there are edges, and last the rows without a number. */
  readonly counts: readonly number[];
}

/** How many rows had each text. */
export interface TextCounts {
  readonly type: 'category';
  readonly values: readonly string[];
  /** One for each value, then the rows with another, and last those without any. */
  readonly counts: readonly number[];
}

export type Counts = NumberCounts | TextCounts;

/** Ranges of numbers that hold about as many rows each. */
const ranges = 10;

/** Of a feature with more different texts, the rarer ones are one: each needs rows enough to be compared. */
const mostValues = 20;

/** Counts of numbers, in ranges between their deciles; NaN stands for none. */
export function countNumbers(values: Float64Array): NumberCounts {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  const deciles = Array.from({ length: ranges - 1 }, (_, index) => {
    return sorted[Math.floor(((index + 1) * sorted.length) / ranges)]!;
  });
  const edges = sorted.length === 0 ? [] : [...new Set(deciles)];
  return { type: 'number', edges, counts: countInto({ type: 'number', edges }, values) };
}

/** Counts of texts; '' stands for none. @param known Values that are counted even where there are none, if they are few. */
export function countTexts(texts: readonly string[], known?: readonly string[]): TextCounts {
  const found = new Map<string, number>();
  for (const text of texts) if (text !== '') found.set(text, (found.get(text) ?? 0) + 1);
  const frequent = [...found].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([text]) => text);
  const values = known && known.length <= mostValues ? known : frequent.slice(0, mostValues);
  return { type: 'category', values, counts: countInto({ type: 'category', values }, texts) };
}

function countInto(of: Bins, values: Iterable<number | string>): number[] {
  const find = binFinder(of);
  const counts = new Array<number>(binsOf(of)).fill(0);
  for (const value of values) counts[find(value)]!++;
  return counts;
}

type Bins = Omit<NumberCounts, 'counts'> | Omit<TextCounts, 'counts'>;

export function binsOf(of: Bins): number {
  return of.type === 'number' ? of.edges.length + 2 : of.values.length + 2;
}

/** What tells the place of a value among the counts. */
export function binFinder(of: Bins): (value: number | string) => number {
  if (of.type === 'category') {
    const { length } = of.values;
    const places = new Map(of.values.map((value, place) => [value, place]));
    return (value) => (value === '' ? length + 1 : (places.get(String(value)) ?? length));
  }
  const edges = Float64Array.from(of.edges);
  const none = edges.length + 1;
  return (value) => {
    const number = Number(value);
    if (Number.isNaN(number)) return none;
    let [low, high] = [0, edges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (edges[middle]! <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
