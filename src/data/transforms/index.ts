import type { ColumnType } from '../config.js';
import { embedding, hashing, oneHot } from './categories.js';
import { discretization } from './discretization.js';
import { log, log1p, minMax, normalization, rescaling } from './scaling.js';
import { textVectorization } from './text.js';
import type { Transform } from './transform.js';

/** For `data.transforms`: what becomes of a column inside of the model. Named after Keras where it has the like. */
export const transforms = {
  normalization,
  minMax,
  rescaling,
  log,
  log1p,
  discretization,
  oneHot,
  embedding,
  hashing,
  textVectorization,
} as const;

export type TransformName = keyof typeof transforms;

/** A transform by its name, its options checked. */
export interface TransformChoice {
  readonly name: TransformName;
  readonly options: unknown;
}

/** What a transform learned from the train split. */
export interface AppliedTransform {
  readonly name: TransformName;
  readonly facts: unknown;
}

/** Options and facts under a name are those of that very transform. */
export function transformOf(name: TransformName): Transform<number | string, unknown, unknown> {
  return transforms[name] as unknown as Transform<number | string, unknown, unknown>;
}

/** The transforms for columns of one type. */
export function transformsFor(type: ColumnType): Record<string, (typeof transforms)[TransformName]> {
  return Object.fromEntries(Object.entries(transforms).filter(([, { takes }]) => takes === type));
}
