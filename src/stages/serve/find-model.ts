import type { ServedModel, ServeHost } from '../../plugin/api.js';
import { busy, RequestError } from './request-error.js';

/** @throws RequestError 404 for a name or version that is not served, 503 while nothing is loaded. */
export function findModel(host: ServeHost, name: string, version: string | undefined): ServedModel {
  const model = host.model(name, version);
  if (model) return model;
  if (host.models().length === 0) throw busy('no model is loaded yet');
  const which = version === undefined ? `model ${name}` : `version ${version} of model ${name}`;
  const served = host.models().map((other) => `${other.name} version ${other.version}`);
  throw new RequestError(404, `there is no ${which}; served: ${served.join(', ')}`);
}

/** A name out of a path. @throws RequestError 400 */
export function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RequestError(400, `${text} is not a valid part of a path`);
  }
}
