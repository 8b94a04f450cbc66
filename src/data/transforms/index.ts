import type { ColumnType } from '../config.js';
import { embedding, hashing, oneHot } from './categories.js';
import { discretization } from './discretization.js';
import { log, log1p, minMax, normalization, rescaling } from './scaling.js';
import type { Feature } from '../signature.js';
import { textVectorization, type Vocabulary } from './text.js';
import { idsIn, type TokenIds } from './text-ids.js';
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

/** How many ids a feature has where it is a row of ids: those of its array, or those that its transform gives. */
export function idsOf({ ids }: Feature, applied: AppliedTransform | undefined): number | undefined {
  if (ids !== undefined || applied?.name !== 'textVectorization') return ids;
  const facts = applied.facts as Pick<Vocabulary, 'outputMode'> | TokenIds;
  return facts.outputMode === 'int' ? idsIn(facts) : undefined;
}

/** Options and facts under a name are those of that very transform. */
export function transformOf(name: TransformName): Transform<number | string, unknown, unknown> {
  return transforms[name] as unknown as Transform<number | string, unknown, unknown>;
}

/** The transforms for columns of one type. */
export function transformsFor(type: ColumnType): Record<string, (typeof transforms)[TransformName]> {
  return Object.fromEntries(Object.entries(transforms).filter(([, { takes }]) => takes === type));
}
