import { z } from 'zod';
import { initializerNames } from './initializers.js';
import type { Layer } from './layer.js';
import { sizesOf } from './shapes.js';

const options = z.strictObject({
  alphaInitializer: z.enum(initializerNames).default('zeros').describe('First slopes.'),
});

/** x where it is positive, else a learned slope of its channel or feature times x (He et al., arXiv:1502.01852). */
export const prelu: Layer<z.output<typeof options>> = {
  summary: 'a rectifier whose slope below 0 is learned',
  options,
  emit(site, x, { alphaInitializer }) {
    const sizes = sizesOf(site, x);
    const isImage = sizes.length >= 3;
    const dims = isImage ? [sizes[0]!, ...sizes.slice(1).map(() => 1)] : [sizes.at(-1)!];
    const alpha = site.weight('alpha', dims, alphaInitializer, { in: dims[0]!, out: dims[0]! });
    return site.g.op('PRelu', [x, alpha], {}, { name: site.name });
  },
};
