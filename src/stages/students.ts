import type { Students } from './compress/index.js';
import { describedFields, type Described } from './train/index.js';

/** Students that `distill` makes of what the config says, as the stage train makes its models. */
export const students: Students<Described> = {
  fields: describedFields,
  async build({ layers, preset }, { dataset, seed }) {
    // Loaded on demand: no command but compress needs it.
    const { buildModel } = await import('./train/build-model.js');
    const place = () => ({ file: 'compress.passes.distill.student' });
    return buildModel((preset ?? layers)!, dataset, { seed, place });
  },
};
