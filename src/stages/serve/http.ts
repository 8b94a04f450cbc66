import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Server as NetServer, Socket } from 'node:net';
import type { HttpRequest, HttpResponse } from '../../plugin/api.js';
import { lingerFor } from './linger.js';
import { acceptAll, closeListener, listen, urlOf, type Place } from './listen.js';
import { BodyPool } from './plain-http/body-pool.js';
import { takeConnections } from './plain-http/front.js';
import { readBody, unpackBody } from './read-body.js';
import type { Credentials } from './tls.js';

/** Bytes of a body that are copied to save a system call. */
const longestInOne = 16_384;

/** An answer, and which protocol gave it. */
export interface Answer extends HttpResponse {
  readonly protocol: string;
}

/** Of a request, what a log tells. */
export type Caller = Pick<IncomingMessage, 'method' | 'url' | 'headers' | 'socket'>;

/** In milliseconds. */
export interface Timeouts {
  /** Until a request's header is there. */
  readonly headers: number;
  /** Until the whole request is there. */
  readonly request: number;
  /** That an idle connection is kept; longer than the minute after which load balancers commonly drop theirs. */
  readonly keepAlive: number;
  /** That connections idle at the start of a stop have to bring a request that was already on its way. */
  readonly linger: number;
}

const defaultTimeouts: Timeouts = { headers: 15_000, request: 120_000, keepAlive: 72_000, linger: 100 };

export interface HttpOptions extends Place {
  /** Has connections given to the server, instead of listening, and tells where callers find it. */
  readonly takeConnections?: ((server: NetServer) => string) | undefined;
  readonly maxBodyBytes: number;
  /** Memory for large ones. Default: of its own. */
  readonly bodies?: BodyPool;
  readonly timeouts?: Partial<Timeouts>;
  /** Connections that may be open at once. */
  readonly maxConnections?: number;
  /** With these it speaks HTTPS. */
  readonly credentials?: Credentials | undefined;
  /** Throws for whom it does not let in, before the body is read. */
  readonly admit?: (headers: HttpRequest['headers'], path: string) => void;
  /** Never rejects. */
  readonly answer: (request: HttpRequest) => Promise<Answer>;
  /** The answer to a request that never becomes an HttpRequest. Never rejects. */
  readonly fail: (error: unknown) => Answer;
  readonly onBegin: () => void;
  /** Without an answer, the caller went away before it. */
  readonly onEnd: (answer: Answer | undefined, seconds: number, caller: Caller) => void;
}

export interface HttpFront {
  readonly url: string;
  /** Takes other credentials for connections from now on. */
  renew(credentials: Credentials): void;
  /**
   * Stops without cutting anyone off: no new connections are accepted, answers from now on close their connections, idle
   * ones are closed a moment later, and then it waits for requests under way, at most `timeout` milliseconds.
   * @returns how many requests were cut off.
   */
  stop(timeout: number): Promise<number>;
}

/** @throws MaasError MAAS_PORT when it cannot listen there. */
export async function listenHttp(options: HttpOptions): Promise<HttpFront> {
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  const sockets = new Set<Socket>();
  let inFlight = 0;
  let stopping = false;
  let whenIdle: (() => void) | undefined;

  const settings = {
    headersTimeout: timeouts.headers,
    requestTimeout: timeouts.request,
    keepAliveTimeout: timeouts.keepAlive,
    connectionsCheckingInterval: Math.min(1000, timeouts.headers),
  };
  const onRequest = (message: IncomingMessage, response: ServerResponse): void => {
    void exchange(message, response);
  };
  // Loaded where it is wanted: most servers stand behind something that speaks TLS.
  const secure = options.credentials && (await import('node:https')).createServer;
  const server: Server | SecureServer = secure
    ? secure({ ...settings, ...options.credentials, minVersion: 'TLSv1.2' }, onRequest)
    : createServer(settings, onRequest);
  if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
  // A caller that does not speak TLS, or drops off while it says hello.
  server.on('tlsClientError', (_error, socket: Socket) => {
    socket.destroy();
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('clientError', refuseBytes);
  const begin = (): void => {
    inFlight++;
    options.onBegin();
  };
  const end = (answer: Answer | undefined, start: number, caller: Caller): void => {
    inFlight--;
    options.onEnd(answer, (performance.now() - start) / 1000, caller);
    if (inFlight === 0) whenIdle?.();
  };
  const plain = secure
    ? undefined
    : takeConnections(server, {
        ...options,
        timeouts,
        bodies: options.bodies ?? new BodyPool(),
        admit: ({ headers, path }) => options.admit?.(headers, path),
        onBegin: begin,
        onEnd: end,
        isStopping: () => stopping,
      });

  async function exchange(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const start = performance.now();
    begin();
    let answer: Answer | undefined;
    response.once('close', () => {
      end(response.writableFinished ? answer : undefined, start, message);
    });
    try {
      admit(message);
      const body = await readBody(message, options.maxBodyBytes);
      const unpacked = await unpackBody(body, message.headers['content-encoding'], options.maxBodyBytes);
      answer = await options.answer(toRequest(message, body, unpacked));
    } catch (error) {
      // A caller that went away in the middle of the body has nobody to answer.
      if (!message.destroyed || message.complete) answer = options.fail(error);
    }
    if (answer && !response.destroyed) {
      const { body, headers } = answer;
      response.writeHead(answer.status, {
        ...headers,
        'content-length': Buffer.byteLength(body),
        ...(stopping && { connection: 'close' }),
      });
      // As text, a short body goes out in one write with the header.
      if (typeof body === 'string' || body.length > longestInOne) response.end(body);
      else response.end(Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1'), 'latin1');
    }
  }

  function admit(message: IncomingMessage): void {
    try {
      options.admit?.(message.headers, pathOf(message));
    } catch (error) {
      // Read and dropped, so that the caller gets to see the answer.
      message.resume();
      throw error;
    }
  }

  let url = options.takeConnections?.(server);
  if (url === undefined) {
    await listen(server, options);
    url = urlOf(server, secure ? 'https' : 'http');
  }
  return {
    url,
    renew(credentials) {
      if ('setSecureContext' in server) server.setSecureContext(credentials);
    },
    async stop(timeout) {
      await acceptAll(server, Math.min(timeouts.linger, timeout));
      const closed = closeListener(server);
      stopping = true;
      if (sockets.size > 0) {
        await lingerFor(Math.min(timeouts.linger, timeout));
        server.closeIdleConnections();
        plain?.closeIdle();
      }
      if (inFlight > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeout);
          whenIdle = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      const cut = inFlight;
      server.closeAllConnections();
      plain?.closeAll();
      await closed;
      // Nothing is left to close but the server's own timers.
      server.close();
      return cut;
    },
  };
}

function pathOf({ url = '/' }: IncomingMessage): string {
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}

function toRequest(message: IncomingMessage, body: Buffer, unpacked: Buffer | undefined): HttpRequest {
  const url = message.url ?? '/';
  const mark = url.indexOf('?');
  return {
    // node:http leaves the body out of an answer to HEAD by itself.
    method: message.method === 'HEAD' ? 'GET' : (message.method ?? 'GET'),
    path: pathOf(message),
    get query() {
      return new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
    },
    // A protocol sees an unpacked body as if it had been sent so.
    headers: unpacked ? { ...message.headers, 'content-encoding': undefined } : message.headers,
    body: unpacked ?? body,
  };
}

/** Answers what the HTTP parser refuses: there is no request object for it. */
function refuseBytes(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const statuses: Readonly<Record<string, string>> = {
    ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
    HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  };
  const status = statuses[error.code ?? ''] ?? '400 Bad Request';
  const body = JSON.stringify({ error: status.slice(4).toLowerCase() });
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
