import type { MetricObjectWithValues, MetricValue } from 'prom-client';
import { MaasError, type ErrorCode, type Place } from '../../../errors.js';
import type { ProgressEvent } from '../../../plugin/events.js';
import { RequestError } from '../request-error.js';
import type { ServeOptions } from '../config.js';

/** What every process has counted, as prom-client gives it. */
export type Counts = readonly MetricObjectWithValues<MetricValue<string>>[];

/** What one process asks of all, itself included. */
export type Question =
  | { readonly kind: 'metrics' }
  | { readonly kind: 'load' | 'unload'; readonly model: string };

/** What one of them answers: with `status` it is a failure for the caller, with `bug` one of ours. */
export type Reply =
  | { readonly counts?: Counts }
  | { readonly failed: string; readonly status: number; readonly headers: Readonly<Record<string, string>> }
  | { readonly bug: string };

/** An error on its way to another process. */
export interface SentError {
  readonly message: string;
  /** Without one it is a bug. */
  readonly code?: ErrorCode | undefined;
  readonly hint?: string | undefined;
  readonly place?: Place | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly stack?: string | undefined;
}

export interface Start {
  /** Its share of them. */
  readonly options: ServeOptions;
  readonly url: string;
  /** host:port of gRPC, where it is wanted. */
  readonly grpc: string | undefined;
  /** How many there are. */
  readonly processes: number;
  /** Counts from 0. */
  readonly index: number;
  /** Models that callers had unloaded. */
  readonly unloaded: readonly string[];
}

export type FromPrimary =
  | ({ readonly type: 'start' } & Start)
  /** Comes with a socket. */
  | { readonly type: 'connection'; readonly door: DoorName }
  /** Whether all are ready, as far as the primary knows. */
  | { readonly type: 'all-ready'; readonly ready: boolean }
  | { readonly type: 'question'; readonly id: number; readonly question: Question }
  | { readonly type: 'replies'; readonly id: number; readonly replies: readonly Reply[] }
  | { readonly type: 'stop' };

export type FromPart =
  /** Takes connections from now on. */
  | { readonly type: 'open' }
  /** Has the connection that it was given last. */
  | { readonly type: 'taken' }
  /** All is loaded. */
  | { readonly type: 'up'; readonly model: string; readonly digest: string }
  | { readonly type: 'ready'; readonly ready: boolean }
  /** Connections that are open, of those that it has taken. */
  | { readonly type: 'load'; readonly open: number }
  | { readonly type: 'events'; readonly events: readonly ProgressEvent[] }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'reply'; readonly id: number; readonly reply: Reply }
  /** Was told to stop by somebody else, and does. */
  | { readonly type: 'leaving' }
  /** What it has counted when it ends. */
  | { readonly type: 'counted'; readonly counts: Counts }
  | { readonly type: 'failed'; readonly error: SentError };

export type DoorName = 'http' | 'grpc';

export function packError(error: unknown): SentError {
  if (!(error instanceof Error)) return { message: String(error) };
  const { message, stack } = error;
  if (!(error instanceof MaasError)) return { message, stack };
  const { code, hint, place, details } = error;
  return { message, code, hint, place, details };
}

export function unpackError({ message, code, hint, place, details, stack }: SentError): Error {
  if (code === undefined) return Object.assign(new Error(message), stack === undefined ? {} : { stack });
  return new MaasError(code, message, {
    ...(hint !== undefined && { hint }),
    ...(place && { place }),
    ...(details && { details }),
  });
}

export function packFailure(error: unknown): Reply {
  if (!(error instanceof RequestError)) return { bug: String((error as Error).stack ?? error) };
  const { message, status, headers } = error;
  return { failed: message, status, headers };
}
