/** Sums over rows X [rows, channels], with 1 behind each row: [[XᵀX, Xᵀ1], [1ᵀX, rows]]. */
export type Moments = Float64Array;

/** What channels vary together, and around what. */
export interface Spread {
  /** [channels, channels]. */
  readonly covariance: Float64Array;
  readonly mean: Float64Array;
}

/** @param centred Whether a constant can be made up for; otherwise the mean counts as a part of the variation. */
export function spreadOf(moments: Moments, channels: number, centred: boolean): Spread {
  const width = channels + 1;
  const rows = moments[width * width - 1]!;
  const mean = Float64Array.from({ length: channels }, (_, at) =>
    centred ? moments[channels * width + at]! / rows : 0,
  );
  const covariance = new Float64Array(channels * channels);
  for (let row = 0; row < channels; row++) {
    for (let column = 0; column < channels; column++) {
      covariance[row * channels + column] =
        moments[row * width + column]! / rows - mean[row]! * mean[column]!;
    }
  }
  return { covariance, mean };
}
