import { hash, timingSafeEqual } from 'node:crypto';
import type { HttpRequest } from '../../plugin/api.js';
import { RequestError } from './request-error.js';

type Check = (headers: HttpRequest['headers']) => void;

const challenge = { 'www-authenticate': 'Bearer realm="maas", Basic realm="maas"' };

/**
 * Lets in who brings one of the keys: `Authorization: Bearer KEY`, `X-Api-Key: KEY`, or, for browsers, Basic with the key as
 * password (RFC 6750, RFC 7617). Keys are held and compared as SHA-256, in constant time, each one.
 * @param keys Keys, or `sha256:` and the hexadecimal digest of one.
 * @returns A check that throws RequestError 401 without a key, 403 with a wrong one.
 */
export function requireKey(keys: readonly string[]): Check {
  const digests = keys.map((key) =>
    Buffer.from(key.startsWith('sha256:') ? key.slice(7).toLowerCase() : hash('sha256', key), 'hex'),
  );
  return (headers) => {
    const key = readKey(headers);
    if (key === undefined) {
      throw new RequestError(401, 'a key is needed: send Authorization: Bearer KEY', { headers: challenge });
    }
    const digest = Buffer.from(hash('sha256', key), 'hex');
    // All of them, so that the time tells nothing of which.
    const matches = digests.filter((known) => timingSafeEqual(known, digest));
    if (matches.length === 0) throw new RequestError(403, 'this key is not known here');
  };
}

function readKey(headers: HttpRequest['headers']): string | undefined {
  const own = headers['x-api-key'];
  if (typeof own === 'string') return own;
  const [scheme = '', value = ''] = String(headers['authorization'] ?? '').split(/ +/, 2);
  if (/^bearer$/i.test(scheme)) return value;
  if (!/^basic$/i.test(scheme)) return undefined;
  // A browser sends this along by itself, also for other sites' pages.
  if (headers['sec-fetch-site'] === 'cross-site') return undefined;
  const text = Buffer.from(value, 'base64').toString('utf8');
  return text.slice(text.indexOf(':') + 1);
}
