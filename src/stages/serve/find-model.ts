import { MaasError } from '../../errors.js';
import type { ServedModel, ServeHost } from '../../plugin/api.js';
import { busy, RequestError } from './request-error.js';

/** The reason why a model is not there that somebody has asked for. */
export const unloaded = 'unloaded';

/** @throws RequestError 404 for a name or version that is not served, 503 while nothing is loaded or it was refused. */
export async function findModel(
  host: ServeHost,
  name: string | undefined,
  version: string | undefined,
): Promise<ServedModel> {
  const found = host.model(name, version);
  if (found && !(found instanceof Promise)) return found;
  const model = await found?.catch((error: unknown) => {
    if (!(error instanceof MaasError)) throw error;
    throw new RequestError(503, `model ${name ?? ''} cannot be loaded: ${error.message}`, { cause: error });
  });
  if (model) return model;
  if (host.index().length === 0) throw busy('no model is loaded yet');
  const refused = host
    .index()
    .find((other) => other.name === name && (!version || other.version === version));
  if (refused && refused.reason !== unloaded) {
    throw busy(`model ${refused.name} version ${refused.version} is not there: ${refused.reason}`);
  }
  const which = version === undefined ? `model ${name ?? ''}` : `version ${version} of model ${name ?? ''}`;
  const served = host.index().map((other) => `${other.name} version ${other.version}`);
  throw new RequestError(404, `there is no ${which}; served: ${served.join(', ')}`);
}

/** A name out of a path. @throws RequestError 400 */
export function decodePart(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RequestError(400, `${text} is not a valid part of a path`);
  }
}
