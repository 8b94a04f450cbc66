import { AsyncLocalStorage } from 'node:async_hooks';
import type { HttpRequest, ServedModel } from '../../../plugin/api.js';
import { readToolchain } from '../../toolchain.js';
import type { ServeOptions } from '../config.js';
import type { Answer } from '../http.js';
import type { LoadedModel } from '../loaded-model.js';
import { SpanExporter } from './exporter.js';
import { isDrawn, newSpanId, newTraceId, readTraceParent, type Span, type Value } from './span.js';

type Identity = Pick<ServedModel, 'name' | 'version'>;

/** A run of a model that has ended. */
interface Run {
  readonly rows: number;
  readonly start: number;
  readonly end: number;
}

/** A request that is traced. */
interface Traced {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
}

/** What became of a call, for its span. */
export interface Outcome {
  readonly attributes: Readonly<Record<string, Value | undefined>>;
  readonly error?: string | undefined;
}

const longestPath = 256;
const key = ({ name, version }: Identity): string => `${name}\0${version}`;

/** Milliseconds between two warnings of spans that were dropped. */
const warnInterval = 60_000;

/**
 * Spans of requests, of their wait for a run, and of the run, sent by OTLP over HTTP. A request that comes with a
 * `traceparent` belongs to that trace, and is traced if it says so; of others a share is.
 */
export class Tracing {
  readonly #rate: number;
  readonly #exporter: SpanExporter;
  readonly #active = new AsyncLocalStorage<Traced>();
  /** The run of each model that ended last. */
  readonly #runs = new Map<string, Run>();

  constructor(options: NonNullable<ServeOptions['tracing']>, warn: (text: string) => void) {
    const { maas: version } = readToolchain();
    const { endpoint, headers = {}, rate, service, attributes } = options;
    let warned = -Infinity;
    this.#rate = rate;
    this.#exporter = new SpanExporter({
      endpoint,
      headers,
      version,
      resource: {
        'service.name': service,
        'service.version': version,
        'process.pid': process.pid,
        'telemetry.sdk.name': 'maas',
        'telemetry.sdk.language': 'nodejs',
        'telemetry.sdk.version': version,
        ...attributes,
      },
      onDropped: (spans, reason) => {
        if (performance.now() - warned < warnInterval) return;
        warned = performance.now();
        warn(`${spans} spans are not sent: ${reason}`);
      },
    });
  }

  /** Answers a request of HTTP, and tells of it. */
  answer(request: HttpRequest, answer: (request: HttpRequest) => Promise<Answer>): Promise<Answer> {
    const { method, path, headers } = request;
    // Machinery asks these all day long.
    if (path.startsWith('/v2/health/') || path === '/metrics') return answer(request);
    return this.follow(
      headers,
      () => answer(request),
      ({ protocol }) => `${method} ${protocol}`,
      ({ status, model, protocol }) => ({
        attributes: {
          'http.request.method': method,
          'url.path': path.slice(0, longestPath),
          'http.response.status_code': status,
          'maas.protocol': protocol,
          'maas.model.name': model?.name,
          'maas.model.version': model?.version,
        },
        error: status >= 500 ? `status ${status}` : undefined,
      }),
    );
  }

  /** Runs `work` as a request that came with these headers, with a span around it. */
  async follow<T>(
    headers: HttpRequest['headers'],
    work: () => Promise<T>,
    nameOf: (result: T) => string,
    tell: (result: T) => Outcome,
  ): Promise<T> {
    const parent = readTraceParent(headers['traceparent']);
    const traceId = parent?.traceId ?? newTraceId();
    if (!(parent?.sampled ?? isDrawn(traceId, this.#rate))) return work();
    const traced = { traceId, spanId: newSpanId(), parentId: parent?.spanId };
    const start = performance.now();
    const result = await this.#active.run(traced, work);
    const end = performance.now();
    const { attributes, error } = tell(result);
    const span: Span = { ...traced, name: nameOf(result), kind: 'server', start, end, attributes };
    this.#exporter.add(error === undefined ? span : { ...span, error });
    return result;
  }

  /** Told of every run when it ends. */
  ran(model: Identity, rows: number, seconds: number): void {
    const end = performance.now();
    this.#runs.set(key(model), { rows, start: end - 1000 * seconds, end });
  }

  /** The model, with spans of what it does for requests that are traced. */
  attend(model: LoadedModel): LoadedModel {
    return Object.create(model, {
      close: {
        value: () => {
          this.#runs.delete(key(model));
          return model.close();
        },
      },
      predict: {
        value: async (...asked: Parameters<ServedModel['predict']>) => {
          const traced = this.#active.getStore();
          if (!traced) return model.predict(...asked);
          const start = performance.now();
          const outputs = await model.predict(...asked);
          this.#tell(traced, model, start);
          return outputs;
        },
      },
    }) as LoadedModel;
  }

  close(): Promise<void> {
    return this.#exporter.close();
  }

  /** The answer comes right behind the end of its run: the one that ended last is the one. A kept answer has none. */
  #tell({ traceId, spanId }: Traced, model: Identity, start: number): void {
    const run = this.#runs.get(key(model));
    if (!run || run.end < start) return;
    const of = { 'maas.model.name': model.name, 'maas.model.version': model.version };
    const began = Math.max(start, run.start);
    const child = (name: string, from: number, to: number, attributes: Span['attributes']): void => {
      const span = { traceId, spanId: newSpanId(), parentId: spanId, kind: 'internal' } as const;
      this.#exporter.add({ ...span, name, start: from, end: to, attributes });
    };
    child('queue', start, began, of);
    child('run', began, run.end, { ...of, 'maas.batch.rows': run.rows });
  }
}
