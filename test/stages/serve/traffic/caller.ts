import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Status line and headers, in lower case. */
  readonly head: string;
  readonly body: Buffer;
}

/**
 * One connection that is kept for one request after another, down to the bytes: nothing here tries again or mends
 * anything, so that a cut answer shows. Once the server says that it closes the connection, the next request opens another.
 */
export class Caller {
  readonly #port: () => number;
  #socket: Socket | undefined;
  #held = Buffer.alloc(0);
  #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;

  /** @param port Asked for each new connection. */
  constructor(port: () => number) {
    this.#port = port;
  }

  /** @throws the system's error; ECONNREFUSED before anything was sent. */
  async ask(request: Uint8Array): Promise<Answer> {
    const socket = (this.#socket ??= await this.#dial());
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      socket.write(request);
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #dial(): Promise<Socket> {
    const socket = connect({ port: this.#port(), host: '127.0.0.1', noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve();
      });
    });
    this.#held = Buffer.alloc(0);
    socket.on('error', (error) => {
      if (this.#socket === socket) this.#waiting?.reject(error);
    });
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#waiting?.reject(new Error('the connection closed before the whole answer was there'));
    });
    socket.on('data', (chunk) => {
      this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
      this.#read(socket);
    });
    return socket;
  }

  #read(socket: Socket): void {
    const end = this.#held.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#held.toString('latin1', 0, end).toLowerCase();
    const length = Number(/^content-length: *(\d+)/m.exec(head)?.[1] ?? NaN);
    const whole = end + 4 + length;
    if (!(this.#held.length >= whole)) return;
    const waiting = this.#waiting;
    if (!waiting || this.#held.length > whole) {
      socket.destroy(new Error('the server sent more than was asked for'));
      return;
    }
    const body = this.#held.subarray(end + 4, whole);
    this.#held = Buffer.alloc(0);
    this.#waiting = undefined;
    if (/^connection: close/m.test(head)) {
      this.#socket = undefined;
      socket.end();
    }
    waiting.resolve({ status: Number(head.slice(9, 12)), head, body });
  }
}

/** A whole HTTP request. */
export function writeRequest(
  path: string,
  body: Uint8Array,
  headers: Readonly<Record<string, string | number>> = {},
): Buffer {
  const lines = Object.entries({ host: '127.0.0.1', ...headers, 'content-length': body.length });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${head}\r\n`), body]);
}
