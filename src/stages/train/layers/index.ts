import { activation } from './activation.js';
import { dense } from './dense.js';
import { dropout } from './dropout.js';

/** What `train.model.layers` is made of, by the names of Keras. */
export const layers = { dense, dropout, activation };

export type LayerName = keyof typeof layers;

/** One entry of `train.model.layers`, its options checked. */
export type LayerChoice = {
  [Name in LayerName]: { readonly name: Name; readonly options: OptionsOf<Name> };
}[LayerName];

type OptionsOf<Name extends LayerName> = Parameters<(typeof layers)[Name]['emit']>[2];
