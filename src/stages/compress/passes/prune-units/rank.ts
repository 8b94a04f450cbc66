/** The work grows with the cube of the channels. */
const mostChannels = 2048;
/** What is left of a channel below this share of it is rounding. */
const leastShare = 1e-9;

/**
 * What each unit adds beyond those that matter more: units are picked one after another, each time the one of which most
 * is left when all that can be told from those before is taken away (Cholesky decomposition with pivoting). Of two units
 * that say the same, one counts nothing.
 * @param covariance Of the channels, [units · channels]².
 * @param power Of the weights that read each channel.
 */
export function rankUnits(
  covariance: Float64Array,
  power: Float64Array,
  units: number,
  channels: number,
): Float64Array {
  const size = units * channels;
  const root = power.map(Math.sqrt);
  const left = Float64Array.from({ length: size }, (_, at) => covariance[at * size + at]! * power[at]!);
  const sumOf = (unit: number): number => {
    let sum = 0;
    for (let at = unit * channels; at < (unit + 1) * channels; at++) sum += Math.max(0, left[at]!);
    return sum;
  };
  const scores = Float64Array.from({ length: units }, (_, unit) => sumOf(unit));
  if (size > mostChannels) return scores;
  const floor = left.map((value) => value * leastShare);
  // Rows of the factor, each as long as channels are eliminated so far.
  const factor = new Float64Array(size * size);
  const open = new Set(scores.keys());
  let count = 0;
  while (open.size > 0) {
    let [best, most] = [-1, -Infinity];
    for (const unit of open) {
      const sum = sumOf(unit);
      if (sum > most) [best, most] = [unit, sum];
    }
    if (best < 0) return scores;
    scores[best] = most;
    open.delete(best);
    for (let pivot = best * channels; pivot < (best + 1) * channels; pivot++) {
      if (!(left[pivot]! > floor[pivot]!)) continue;
      const scale = Math.sqrt(left[pivot]!);
      for (let at = 0; at < size; at++) {
        let value = covariance[at * size + pivot]! * root[at]! * root[pivot]!;
        for (let k = 0; k < count; k++) value -= factor[at * size + k]! * factor[pivot * size + k]!;
        factor[at * size + count] = value / scale;
      }
      for (let at = 0; at < size; at++) left[at]! -= factor[at * size + count]! ** 2;
      count += 1;
    }
  }
  return scores;
}
