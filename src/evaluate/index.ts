/** Measures models: against the truth, against each other, and against the clock. */
export { compare, confusionOf, evaluate, score, scoreValues, type Confusion } from './evaluate.js';
export { compareLatency, type Latency, type LatencyOptions } from './latency.js';
export { predict, type Predictions } from './predict.js';
