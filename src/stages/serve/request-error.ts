/** What is wrong with one field of a request. */
export interface Problem {
  /** Row within a list of rows, from 0. */
  readonly row?: number;
  readonly field?: string;
  readonly message: string;
}

export interface RequestErrorOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly problems?: readonly Problem[];
  readonly cause?: unknown;
}

/** A request that gets an error for an answer, with the HTTP status that says whose fault it is. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly problems: readonly Problem[];

  constructor(status: number, message: string, options: RequestErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.headers = options.headers ?? {};
    this.problems = options.problems ?? [];
  }
}

/** The model cannot take the request now, and another try makes sense. */
export function busy(message: string): RequestError {
  return new RequestError(503, message, { headers: { 'retry-after': '1' } });
}

/** @param waiting Requests that wait already. */
export function queueFull(waiting: number): RequestError {
  return busy(`${waiting} requests are waiting already`);
}

/** The request waited longer than it may. */
export function expired(): RequestError {
  return new RequestError(504, 'the request has waited for longer than its timeout, and was not run');
}

/** The worker that had the request is gone. Its answer is lost, and another try makes sense. */
export class WorkerLost extends RequestError {
  constructor(message: string) {
    super(503, `${message}; try again`, { headers: { 'retry-after': '1' } });
  }
}

/** @throws RequestError 405 unless `method` is one of `allowed`. */
export function allowMethods(method: string, allowed: readonly string[]): void {
  if (allowed.includes(method)) return;
  throw new RequestError(405, `${method} is not allowed here; use ${allowed.join(' or ')}`, {
    headers: { allow: allowed.join(', ') },
  });
}
