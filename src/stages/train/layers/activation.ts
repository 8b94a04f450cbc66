import { z } from 'zod';
import { activationNames, activations, type ActivationName } from './activations.js';
import type { Layer } from './layer.js';

/** A function of each input. */
export const activation: Layer<ActivationName> = {
  summary: 'a function of each input',
  options: z.enum(activationNames),
  emit: ({ g }, x, name) => activations[name](g, x),
};
