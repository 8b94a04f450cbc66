import { STATUS_CODES } from 'node:http';
import type { HttpResponse } from '../../../plugin/api.js';

/** The bytes that node:http, too, lets through in the value of a field. */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;
const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * The head of an answer as node:http writes it, with the empty line behind it.
 * @param keepAlive Seconds that the connection stays; undefined closes it.
 * @throws TypeError for a field that would break out of its line.
 */
export function printHead(
  { status, headers = {} }: Pick<HttpResponse, 'status' | 'headers'>,
  length: number,
  keepAlive: number | undefined,
  date: string,
): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (const name in headers) {
    const value = headers[name]!;
    if (!fieldName.test(name) || !fieldValue.test(value)) throw new TypeError(`bad header ${name}`);
    text += `${name}: ${value}\r\n`;
  }
  text += `content-length: ${length}\r\nDate: ${date}\r\n`;
  return keepAlive === undefined
    ? `${text}Connection: close\r\n\r\n`
    : `${text}Connection: keep-alive\r\nKeep-Alive: timeout=${keepAlive}\r\n\r\n`;
}

/** Tells the time as RFC 9110, 5.6.7, wants it, in whole seconds. */
export function createClock(): () => string {
  let [text, of] = ['', 0];
  return () => {
    const second = Math.floor(Date.now() / 1000);
    if (second !== of) [text, of] = [new Date(1000 * second).toUTCString(), second];
    return text;
  };
}
