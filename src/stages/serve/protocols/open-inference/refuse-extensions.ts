import { isObject } from '../../json/body.js';
import { RequestError } from '../../request-error.js';

/** Parameters by which clients of Triton ask for what is not offered here. Passed over, they would get another answer than they asked for. */
const unknownHere: Readonly<Record<string, string>> = {
  sequence_id: 'sequences of requests',
  sequence_start: 'sequences of requests',
  sequence_end: 'sequences of requests',
  shared_memory_region: 'shared memory',
  classification: 'the classification extension',
  config: 'a config in place of the one on disk',
};

/** @throws RequestError 400 when parameters are none, or ask for an extension that is not offered. */
export function refuseExtensions(parameters: unknown): void {
  // Some clients print what they leave out as null.
  if (parameters === undefined || parameters === null) return;
  if (!isObject(parameters)) throw new RequestError(400, 'parameters must be an object');
  for (const [name, value] of Object.entries(parameters)) {
    const what = Object.hasOwn(unknownHere, name) ? unknownHere[name] : undefined;
    // Clients send what they leave out as zero, too.
    const isAsked = Boolean(value) && value !== '0';
    if (what !== undefined && isAsked)
      throw new RequestError(400, `parameter ${name}: ${what} is not offered here`);
  }
}
