/** Measures models: against the truth, against each other, and against the clock. */
export { dropAtMost, ratioAtMost, rowsFor, shareAtLeast, type Change, type Moments } from './confidence.js';
export {
  compare,
  confusionOf,
  confusionsOf,
  evaluate,
  nameFigures,
  score,
  scoreValues,
  type Confusion,
} from './evaluate.js';
export { compareLatency, requestsOf, type Latency, type LatencyOptions, type Request } from './latency.js';
export { pairRows, type Paired } from './pair-rows.js';
export { onlyPredictions, predict, type Predictions } from './predict.js';
