// From measured sums to many ranks: a ring passes 2(N − 1) messages of 1/N of the gradients over each link, each for
// α + β · bytes (Thakur, Rabenseifner, Gropp: Optimization of collective communication operations in MPICH, 2005).

const ringSteps = (ranks) => 2 * (ranks - 1);
const megabytes = (parameters) => (4 * parameters) / 1e6;

/** Least squares of time = α · 2(N − 1) + β · 2(N − 1)/N · MB over what was measured; neither is below 0. */
export function fitCosts(rows) {
  const points = rows
    .filter(({ ranks }) => ranks > 1)
    .map(({ parameters, ranks, ours }) => ({
      a: ringSteps(ranks),
      b: (ringSteps(ranks) / ranks) * megabytes(parameters),
      time: ours.allReduce,
    }));
  const sum = (pick) => points.reduce((total, point) => total + pick(point), 0);
  const [aa, ab, bb] = [sum(({ a }) => a * a), sum(({ a, b }) => a * b), sum(({ b }) => b * b)];
  const [at, bt] = [sum(({ a, time }) => a * time), sum(({ b, time }) => b * time)];
  const determinant = aa * bb - ab * ab;
  const alpha = (at * bb - bt * ab) / determinant;
  if (determinant > 0 && alpha > 0) return { alpha, beta: (bt * aa - at * ab) / determinant };
  return { alpha: 0, beta: bt / bb };
}

/** Each rank keeps the rows that one rank had: compute stays, and the sum grows. */
export function project(rows, { alpha, beta }, sizes = [64, 128, 256, 512, 1024]) {
  return rows
    .filter(({ ranks }) => ranks === 1)
    .flatMap(({ parameters, ours: { compute } }) =>
      sizes.map((ranks) => {
        const allReduce = ringSteps(ranks) * (alpha + (beta * megabytes(parameters)) / ranks);
        return { parameters, ranks, compute, allReduce, efficiency: compute / (compute + allReduce) };
      }),
    );
}
