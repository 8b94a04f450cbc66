/** Weights whose products with a column's inputs are added up: [rows, columns], or [columns, rows] when transposed. */
export interface ThinLayout {
  readonly rows: number;
  readonly columns: number;
  readonly transposed: boolean;
  /** N of each M weights of a column stay. */
  readonly groups: readonly [number, number] | undefined;
  /** Share of weights that go, where there are no groups. */
  readonly share: number;
}

export function indexOf({ rows, columns, transposed }: ThinLayout, row: number, column: number): number {
  return transposed ? column * rows + row : row * columns + column;
}

/** The magnitude below which so many of all weights lie. */
export async function findMagnitude(
  parts: readonly (() => Promise<Float32Array>)[],
  share: number,
): Promise<number> {
  const all: Float32Array[] = [];
  for (const read of parts) all.push((await read()).map(Math.abs));
  const length = all.reduce((sum, part) => sum + part.length, 0);
  const joined = new Float32Array(length);
  let at = 0;
  for (const part of all) {
    joined.set(part, at);
    at += part.length;
  }
  const count = Math.round(share * length);
  return count === 0 ? -1 : joined.sort()[count - 1]!;
}

/**
 * The weights with the smallest set to 0.
 * @param limit The magnitude up to which they go; without it the share of the layer decides.
 */
export function pickMagnitudes(weights: Float32Array, layout: ThinLayout, limit?: number): Float32Array {
  const result = new Float32Array(weights);
  if (layout.groups) {
    const [keep, group] = layout.groups;
    for (let column = 0; column < layout.columns; column++) {
      for (let first = 0; first < layout.rows; first += group) {
        const places = Array.from({ length: group }, (_, at) => indexOf(layout, first + at, column));
        places.sort((a, b) => Math.abs(weights[b]!) - Math.abs(weights[a]!) || a - b);
        for (const place of places.slice(keep)) result[place] = 0;
      }
    }
    return result;
  }
  if (limit !== undefined) return result.map((value) => (Math.abs(value) <= limit ? 0 : value));
  const count = Math.round(layout.share * weights.length);
  if (count === 0) return result;
  const threshold = weights.map(Math.abs).sort()[count - 1]!;
  // Of weights that are alike just as many go as are needed.
  let spare = count - weights.reduce((sum, value) => sum + (Math.abs(value) < threshold ? 1 : 0), 0);
  return result.map((value) => {
    const size = Math.abs(value);
    if (size < threshold) return 0;
    if (size > threshold || spare === 0) return value;
    spare -= 1;
    return 0;
  });
}
