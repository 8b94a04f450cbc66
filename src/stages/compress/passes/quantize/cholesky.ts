/**
 * R of H = R · Rᵀ, R upper triangular: the Cholesky decomposition from the last row up.
 * @param matrix [size, size], symmetric.
 * @returns [size, size] with zeros below the diagonal; undefined where the matrix is not positive definite.
 */
export function factorUpper(matrix: Float64Array, size: number): Float64Array | undefined {
  const factor = new Float64Array(size * size);
  for (let last = size - 1; last >= 0; last--) {
    const own = last * size;
    let pivot = matrix[own + last]!;
    for (let at = last + 1; at < size; at++) pivot -= factor[own + at]! ** 2;
    if (!(pivot > 0) || pivot === Infinity) return undefined;
    const root = Math.sqrt(pivot);
    factor[own + last] = root;
    for (let row = 0; row < last; row++) {
      const other = row * size;
      // Four sums side by side: one alone waits for itself.
      let [a, b, c, d] = [0, 0, 0, 0];
      let at = last + 1;
      for (; at + 3 < size; at += 4) {
        a += factor[other + at]! * factor[own + at]!;
        b += factor[other + at + 1]! * factor[own + at + 1]!;
        c += factor[other + at + 2]! * factor[own + at + 2]!;
        d += factor[other + at + 3]! * factor[own + at + 3]!;
      }
      for (; at < size; at++) a += factor[other + at]! * factor[own + at]!;
      factor[other + last] = (matrix[other + last]! - (a + b + c + d)) / root;
    }
  }
  return factor;
}
