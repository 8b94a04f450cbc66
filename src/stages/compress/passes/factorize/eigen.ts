/** Eigenvalues in descending order, and their vectors as rows [size, size]. */
export interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** Steps of the QL iteration for one eigenvalue; more means that the matrix holds no numbers. */
const mostSteps = 60;

/**
 * Of a symmetric matrix [size, size]: Householder's reduction to three diagonals, then QL with implicit shifts (Martin,
 * Reinsch and Wilkinson; Bowdler and others, Numerische Mathematik 11, 1968).
 * @returns undefined when it does not converge.
 */
export function decompose(matrix: Float64Array, size: number): Eigen | undefined {
  // Row k of q is the k-th column of the orthogonal matrix: rotations then work on whole rows.
  const { diagonal, side, q } = tridiagonalize(matrix, size);
  if (!iterate(diagonal, side, q, size)) return undefined;
  const order = Array.from(diagonal, (_, at) => at).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b);
  const vectors = new Float64Array(size * size);
  order.forEach((from, to) => {
    vectors.set(q.subarray(from * size, (from + 1) * size), to * size);
  });
  return { values: Float64Array.from(order, (at) => diagonal[at]!), vectors };
}

/** Qᵀ · A · Q with three diagonals; `q` is Qᵀ. */
function tridiagonalize(
  matrix: Float64Array,
  size: number,
): { diagonal: Float64Array; side: Float64Array; q: Float64Array } {
  const a = matrix.slice();
  const q = new Float64Array(size * size);
  for (let at = 0; at < size; at++) q[at * size + at] = 1;
  const [v, p] = [new Float64Array(size), new Float64Array(size)];
  for (let step = 0; step < size - 2; step++) {
    let norm = 0;
    for (let row = step + 1; row < size; row++) norm += a[row * size + step]! ** 2;
    norm = Math.sqrt(norm);
    const first = a[(step + 1) * size + step]!;
    if (norm === 0 || norm === Math.abs(first)) continue;
    // Reflects the column onto its first element: H = I − v·vᵀ·β.
    const alpha = first > 0 ? -norm : norm;
    v.fill(0);
    for (let row = step + 1; row < size; row++) v[row] = a[row * size + step]!;
    v[step + 1]! -= alpha;
    const beta = 1 / (alpha * alpha - alpha * first);
    let half = 0;
    for (let row = step; row < size; row++) {
      let sum = 0;
      for (let at = step + 1; at < size; at++) sum += a[row * size + at]! * v[at]!;
      p[row] = beta * sum;
      half += p[row]! * v[row]!;
    }
    half *= beta / 2;
    for (let row = step; row < size; row++) p[row]! -= half * v[row]!;
    for (let row = step; row < size; row++) {
      const [own, other] = [v[row]!, p[row]!];
      for (let at = step; at < size; at++) a[row * size + at]! -= own * p[at]! + other * v[at]!;
    }
    // Q becomes Q · H: from its transpose, v · (vᵀ · Qᵀ) · β is taken away.
    p.fill(0);
    for (let row = step + 1; row < size; row++) {
      const own = v[row]! * beta;
      for (let at = 0; at < size; at++) p[at]! += own * q[row * size + at]!;
    }
    for (let row = step + 1; row < size; row++) {
      const own = v[row]!;
      for (let at = 0; at < size; at++) q[row * size + at]! -= own * p[at]!;
    }
  }
  const diagonal = Float64Array.from({ length: size }, (_, at) => a[at * size + at]!);
  const side = Float64Array.from({ length: size }, (_, at) => (at + 1 < size ? a[(at + 1) * size + at]! : 0));
  return { diagonal, side, q };
}

function iterate(d: Float64Array, e: Float64Array, q: Float64Array, size: number): boolean {
  for (let low = 0; low < size; low++) {
    for (let steps = 0; ; steps++) {
      let end = low;
      for (; end < size - 1; end++) {
        const near = Math.abs(d[end]!) + Math.abs(d[end + 1]!);
        if (Math.abs(e[end]!) <= Number.EPSILON * near) break;
      }
      if (end === low) break;
      if (steps === mostSteps || !Number.isFinite(d[low]!)) return false;
      let g = (d[low + 1]! - d[low]!) / (2 * e[low]!);
      let r = Math.hypot(g, 1);
      g = d[end]! - d[low]! + e[low]! / (g + (g >= 0 ? r : -r));
      let [s, c, p] = [1, 1, 0];
      let at = end - 1;
      for (; at >= low; at--) {
        const f = s * e[at]!;
        const b = c * e[at]!;
        r = Math.hypot(f, g);
        e[at + 1] = r;
        if (r === 0) {
          d[at + 1]! -= p;
          e[end] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[at + 1]! - p;
        r = (d[at]! - g) * s + 2 * c * b;
        p = s * r;
        d[at + 1] = g + p;
        g = c * r - b;
        rotate(q, at * size, (at + 1) * size, size, c, s);
      }
      if (r === 0 && at >= low) continue;
      d[low]! -= p;
      e[low] = g;
      e[end] = 0;
    }
  }
  return true;
}

function rotate(q: Float64Array, one: number, two: number, size: number, c: number, s: number): void {
  for (let at = 0; at < size; at++) {
    const f = q[two + at]!;
    const g = q[one + at]!;
    q[two + at] = s * g + c * f;
    q[one + at] = c * g - s * f;
  }
}
