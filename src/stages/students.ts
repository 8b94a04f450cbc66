import type { ConfigPath } from '../config/place.js';
import { MaasError, type Place } from '../errors.js';
import type { Students } from './compress/index.js';
import { describedFields, type Described } from './train/index.js';

/** Students that `distill` makes of what the config says, as the stage train makes its models. */
export const students: Students<Described> = {
  fields: describedFields,
  async build({ layers, preset }, { dataset, seed, placeOf }) {
    // Loaded on demand: no command but compress needs it.
    const { buildModel } = await import('./train/build-model.js');
    // What is under train.model there is under student here.
    const place = ([, , ...rest]: ConfigPath): Place =>
      placeOf?.(['student', ...rest]) ?? { file: 'distill.student' };
    try {
      return buildModel((preset ?? layers)!, dataset, { seed, place });
    } catch (error) {
      throw error instanceof MaasError ? rename(error) : error;
    }
  },
};

function rename(error: MaasError): MaasError {
  const { code, place, details, others } = error;
  const [message, hint] = [error.message, error.hint].map((text) =>
    text.replaceAll('train.model.', 'distill.student.'),
  ) as [string, string];
  return new MaasError(code, message, {
    hint,
    place,
    ...(details && { details }),
    others: others.map(rename),
    cause: error,
  });
}
