import { meanAbsoluteError } from './losses/absolute-error.js';
import { cosineSimilarity } from './losses/cosine.js';
import {
  binaryCrossentropy,
  categoricalCrossentropy,
  sparseCategoricalCrossentropy,
} from './losses/cross-entropy.js';
import { klDivergence } from './losses/divergence.js';
import { binaryFocalCrossentropy, categoricalFocalCrossentropy } from './losses/focal.js';
import { categoricalHinge, hinge, squaredHinge } from './losses/hinge.js';
import { huber } from './losses/huber.js';
import type { Loss } from './losses/loss.js';
import { meanSquaredError, mse } from './losses/squared-error.js';
import { triplet } from './losses/triplet.js';

export type { Loss, LossInputs, LossOptions } from './losses/loss.js';

/** By the names that the config uses; names, options and defaults are those of Keras. */
export const losses: Readonly<Record<string, Loss>> = {
  meanSquaredError,
  mse,
  meanAbsoluteError,
  huber,
  cosineSimilarity,
  sparseCategoricalCrossentropy,
  categoricalCrossentropy,
  binaryCrossentropy,
  categoricalFocalCrossentropy,
  binaryFocalCrossentropy,
  hinge,
  squaredHinge,
  categoricalHinge,
  klDivergence,
  triplet,
};
