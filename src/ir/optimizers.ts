import { adagrad } from './optimizers/adagrad.js';
import { adam } from './optimizers/adam.js';
import { adamw } from './optimizers/adamw.js';
import { lamb } from './optimizers/lamb.js';
import { lion } from './optimizers/lion.js';
import type { Optimizer } from './optimizers/optimizer.js';
import { rmsprop } from './optimizers/rmsprop.js';
import { sgd } from './optimizers/sgd.js';

export type { Optimizer, OptimizerOptions, Update, Updated } from './optimizers/optimizer.js';

/** By the names that the config uses; options and defaults are those of Keras. */
export const optimizers: Readonly<Record<string, Optimizer>> = {
  sgd,
  adam,
  adamw,
  rmsprop,
  adagrad,
  lion,
  lamb,
};
