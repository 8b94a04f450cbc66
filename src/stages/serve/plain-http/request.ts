import type { HttpRequest } from '../../../plugin/api.js';
import type { PlainHead } from './head.js';

/** Made for each request: its query is read when somebody asks for it. */
export class PlainRequest implements HttpRequest {
  readonly method = 'POST';
  readonly path: string;
  readonly headers: HttpRequest['headers'];
  readonly body: Buffer;
  readonly #url: string;

  constructor({ url, path, headers }: PlainHead, body: Buffer) {
    this.path = path;
    this.headers = headers;
    this.body = body;
    this.#url = url;
  }

  get query(): URLSearchParams {
    return new URLSearchParams(this.#url.slice(this.path.length + 1));
  }
}
