import { Pool, type Dispatcher } from 'undici';

/** A request that is sent over and over: all but the address of the server. */
export interface LoadRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface Exchange {
  /** The HTTP status; 0 when no whole answer came. */
  readonly status: number;
  /** The start of an answer that is not 200, or what went wrong. */
  readonly problem: string;
}

export interface Client {
  /** Never rejects. Waits for a free connection first when all are in use. */
  exchange(request: LoadRequest): Promise<Exchange>;
  close(): Promise<void>;
}

const shownBytes = 300;

/**
 * Kept-alive connections to one server, each with one request at a time.
 * @param options.timeout milliseconds until an answer that does not come counts as failed
 */
export function openClient(
  origin: URL,
  { connections, timeout }: { connections: number; timeout: number },
): Client {
  const pool = new Pool(origin, {
    connections,
    pipelining: 1,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    connect: { timeout },
  });
  return {
    exchange: ({ path, headers, body }) =>
      new Promise((resolve) => {
        // undici's lowest door: promises and streams for each answer would cost as much as a small model.
        pool.dispatch({ path, method: 'POST', headers: { ...headers }, body }, new Answer(resolve));
      }),
    close: () => pool.destroy(),
  };
}

class Answer implements Dispatcher.DispatchHandler {
  private status = 0;
  private text = '';

  constructor(private readonly resolve: (exchange: Exchange) => void) {}

  onRequestStart(): void {
    // Nothing to prepare; undici asks for it.
  }

  onResponseStart(_controller: unknown, status: number): void {
    this.status = status;
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    if (this.status !== 200 && this.text.length < shownBytes) this.text += chunk.toString('utf8');
  }

  onResponseEnd(): void {
    this.resolve({ status: this.status, problem: this.text.slice(0, shownBytes) });
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.resolve({ status: 0, problem: error.message });
  }
}
