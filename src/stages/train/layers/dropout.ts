import { z } from 'zod';
import type { Layer } from './layer.js';

const options = z.strictObject({
  rate: z.number().min(0).lt(1).default(0.5).describe('Share of the inputs that are left out.'),
});

/** Leaves inputs out at random in training, so that none is relied on alone; does nothing otherwise. */
export const dropout: Layer<z.output<typeof options>> = {
  summary: 'leaves some inputs out in training',
  options,
  emit: ({ g }, x, { rate }) => (rate === 0 ? x : g.op('Dropout', [x, g.scalar(rate)])),
};
