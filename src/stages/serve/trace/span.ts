import { randomBytes } from 'node:crypto';

export type Value = string | number | boolean;

/** A span as it is sent. Times are of the clock of `performance.now()`, in milliseconds. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: 'server' | 'internal';
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, Value | undefined>>;
  /** What went wrong, when it was our fault. */
  readonly error?: string;
}

/** Where a span belongs: `traceparent` of https://www.w3.org/TR/trace-context/ */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined for what is none: then a trace begins here. Later versions may have more behind the flags. */
export function readTraceParent(header: string | string[] | undefined): TraceParent | undefined {
  const match = typeof header === 'string' ? pattern.exec(header.trim()) : null;
  if (!match) return undefined;
  const [, version, traceId, spanId, flags, more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined;
  return { traceId: traceId!, spanId: spanId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}

export const newTraceId = (): string => randomBytes(16).toString('hex');
export const newSpanId = (): string => randomBytes(8).toString('hex');

/** By the last 56 bits of a trace's id, as OpenTelemetry's ratio sampler: servers along the way come to the same. */
export function isDrawn(traceId: string, rate: number): boolean {
  return Number.parseInt(traceId.slice(-14), 16) < rate * 2 ** 56;
}
