import type { HttpRequest, Urgency } from '../../plugin/api.js';
import { isObject } from './json/body.js';
import { RequestError } from './request-error.js';

/** Of priorities, as requests name them; 0 is the default. */
const leastUrgent = 10;

/** Microseconds; a day. */
const longestTimeout = 86_400e6;

/**
 * How urgent a request is, by its headers `X-Request-Timeout-Ms` and `X-Request-Priority`, or by the parameters `timeout`
 * (microseconds) and `priority` as Triton names them, which go first. 0 stands for the default of each.
 * @throws RequestError 400
 */
export function readUrgency(headers: HttpRequest['headers'], parameters?: unknown): Urgency {
  const asked = headers['x-request-timeout-ms'] !== undefined || headers['x-request-priority'] !== undefined;
  if (!asked && parameters === undefined) return {};
  const given = isObject(parameters) ? parameters : {};
  const inHeader = headers['x-request-timeout-ms'];
  const timeout =
    given['timeout'] === undefined
      ? 1000 * readNumber(inHeader ?? 0, 'X-Request-Timeout-Ms', longestTimeout / 1000)
      : readNumber(given['timeout'], 'parameter timeout', longestTimeout);
  const priority =
    given['priority'] === undefined
      ? readWhole(headers['x-request-priority'] ?? 0, 'X-Request-Priority')
      : readWhole(given['priority'], 'parameter priority');
  return {
    ...(timeout > 0 && { deadline: performance.now() + timeout / 1000 }),
    ...(priority > 0 && { priority }),
  };
}

function readWhole(value: unknown, name: string): number {
  const number = readNumber(value, name, leastUrgent);
  if (Number.isInteger(number)) return number;
  throw new RequestError(400, `${name} must be a whole number, found ${number}`);
}

function readNumber(value: unknown, name: string, most: number): number {
  const isText = typeof value === 'string' && value.trim() !== '';
  const number = typeof value === 'bigint' || isText ? Number(value) : value;
  if (typeof number === 'number' && number >= 0 && number <= most) return number;
  throw new RequestError(400, `${name} must be a number from 0 to ${most}`);
}
