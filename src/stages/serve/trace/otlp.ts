import type { Span, Value } from './span.js';

// The JSON form of OTLP 1.x: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding — names in lowerCamelCase,
// ids in hexadecimal, 64-bit integers as decimal strings, enums as numbers. Written by hand, for three spans a request is all
// that is sent: the official exporter is 12 packages of 28 MB, more than the rest of the server without its runtime.

const kinds = { internal: 1, server: 2 } as const;
const errorStatus = 2;

/** @param resource What the server is: service.name and so on. */
export function encodeSpans(
  spans: readonly Span[],
  resource: Readonly<Record<string, Value | undefined>>,
  scope: { readonly name: string; readonly version: string },
): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: encodeAttributes(resource) },
        scopeSpans: [{ scope, spans: spans.map(encodeSpan) }],
      },
    ],
  });
}

function encodeSpan({ traceId, spanId, parentId, name, kind, start, end, attributes, error }: Span): unknown {
  return {
    traceId,
    spanId,
    ...(parentId !== undefined && { parentSpanId: parentId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: toNanoseconds(start),
    endTimeUnixNano: toNanoseconds(end),
    attributes: encodeAttributes(attributes),
    status: error === undefined ? {} : { code: errorStatus, message: error },
  };
}

function encodeAttributes(attributes: Readonly<Record<string, Value | undefined>>): unknown[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: encodeValue(value) }],
  );
}

function encodeValue(value: Value): unknown {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** Since 1970. A double holds them to a quarter of a microsecond. */
function toNanoseconds(time: number): string {
  return String(BigInt(Math.round((performance.timeOrigin + time) * 1000)) * 1000n);
}
