import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: string;
  readonly boolValue?: boolean;
  readonly doubleValue?: number;
}

export interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: AnyValue }[];
  readonly status: { readonly code?: number; readonly message?: string };
}

export interface Receiver {
  readonly endpoint: string;
  readonly bodies: string[];
  readonly headers: Record<string, string | string[] | undefined>[];
  /** Statuses of the answers to come; 200 when there are none. */
  readonly statuses: number[];
  spans(): SentSpan[];
  stop(): Promise<void>;
}

/** Takes traces as a collector does: OTLP over HTTP, in JSON. */
export async function startReceiver(): Promise<Receiver> {
  const bodies: string[] = [];
  const headers: Receiver['headers'] = [];
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => (body += part));
    request.on('end', () => {
      const isTraces = request.method === 'POST' && request.url === '/v1/traces';
      const status = isTraces ? (statuses.shift() ?? 200) : 404;
      headers.push(request.headers);
      if (status === 200) bodies.push(body);
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '0.05' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    bodies,
    headers,
    statuses,
    spans: () =>
      bodies.flatMap((body) => {
        const { resourceSpans } = JSON.parse(body) as {
          resourceSpans: { scopeSpans: { spans: SentSpan[] }[] }[];
        };
        return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
      }),
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}

export function attributesOf({ attributes }: SentSpan): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
