/** Of the plainest request there is: what it asks for, and how long its body is. */
export interface PlainHead {
  readonly url: string;
  readonly path: string;
  /** Names in lower case; each is there once. */
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes of the body. */
  readonly length: number;
}

const requestLine = /^POST (\/[!-~]*) HTTP\/1\.1$/;
const field = /^([A-Za-z0-9-]{1,64}):[ \t]*(|[!-~]|[!-~][ -~]*[!-~])[ \t]*$/;

/** They change how the message is framed, or what becomes of the connection. */
const special = new Set([
  'transfer-encoding',
  'content-encoding',
  'connection',
  'proxy-connection',
  'expect',
  'upgrade',
  'trailer',
]);

/**
 * The head of a POST with a declared length, on a connection that stays: what clients of models send all day. It refuses
 * whatever could be read in two ways, or takes more to answer: `undefined` says nothing but that node:http should read it.
 * @param text Without the empty line that ends it.
 */
export function readPlainHead(text: string): PlainHead | undefined {
  const [first, ...lines] = text.split('\r\n');
  const url = requestLine.exec(first!)?.[1];
  if (url === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const match = field.exec(line);
    if (!match) return undefined;
    const name = match[1]!.toLowerCase();
    const stays = name === 'connection' && match[2]!.toLowerCase() === 'keep-alive';
    if (Object.hasOwn(headers, name) || (special.has(name) && !stays)) return undefined;
    headers[name] = match[2]!;
  }
  const { host, 'content-length': declared } = headers;
  if (host === undefined || declared === undefined || !/^\d{1,15}$/.test(declared)) return undefined;
  const mark = url.indexOf('?');
  return { url, path: mark < 0 ? url : url.slice(0, mark), headers, length: Number(declared) };
}

/** Longer heads are not kept. In characters. */
const longestKept = 2048;

/** Heads by their bytes: clients send the same ones again and again. */
export class PlainHeads {
  readonly #most: number;
  readonly #known = new Map<string, PlainHead>();

  constructor(most = 1024) {
    this.#most = most;
  }

  read(text: string): PlainHead | undefined {
    const known = this.#known.get(text);
    if (known) return known;
    const head = readPlainHead(text);
    if (head && text.length <= longestKept) {
      if (this.#known.size >= this.#most) this.#known.clear();
      this.#known.set(text, head);
    }
    return head;
  }
}
