import { isUtf8 } from 'node:buffer';
import type { HttpRequest, HttpResponse } from '../../../plugin/api.js';
import { acceptedEncodings } from '../read-body.js';
import { RequestError } from '../request-error.js';
import { JsonSyntaxError, parseJson } from './parse.js';

/** @throws RequestError 415 unless the body is plain JSON by its headers. A body without a type is taken for JSON. */
function checkType(headers: HttpRequest['headers']): void {
  const type = String(headers['content-type'] ?? 'application/json');
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new RequestError(415, `content type ${type} is not supported; send application/json`, {
      headers: { accept: 'application/json' },
    });
  }
  const encoding = String(headers['content-encoding'] ?? 'identity');
  if (encoding.toLowerCase() !== 'identity') {
    throw new RequestError(
      415,
      `content encoding ${encoding} is not supported; send ${acceptedEncodings}, or the body as it is`,
      { headers: { 'accept-encoding': acceptedEncodings } },
    );
  }
}

/** The bytes of a JSON body. @throws RequestError 415 for other types, 400 for an empty body or bad UTF-8. */
export function jsonOf({ headers, body }: Pick<HttpRequest, 'headers' | 'body'>): Buffer {
  checkType(headers);
  if (body.length === 0) throw new RequestError(400, 'the request has no body');
  if (!isUtf8(body)) throw new RequestError(400, 'the body is not valid UTF-8');
  return body;
}

/** The text of a JSON body. @throws RequestError as `jsonOf` does */
export function textOf(request: HttpRequest): string {
  return jsonOf(request).toString('utf8');
}

/** @throws RequestError 400 with line and column when the text is not JSON. */
export function parseBody(text: string, options?: { readonly bigints?: boolean }): unknown {
  try {
    return parseJson(text, options);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new RequestError(400, `malformed JSON: ${error.message}`, { cause: error });
  }
}

export function jsonResponse(body: string, rest: Omit<HttpResponse, 'status' | 'body'> = {}): HttpResponse {
  return { status: 200, body, ...rest, headers: { 'content-type': 'application/json', ...rest.headers } };
}

/** Something that a caller sent, for a message: cut short, and with numbers that JSON.stringify refuses. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'bigint' ? Number(part) : part,
  ) as string | undefined;
  if (text === undefined) return 'nothing';
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
