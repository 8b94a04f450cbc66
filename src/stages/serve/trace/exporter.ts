import { setTimeout as sleep } from 'node:timers/promises';
import { encodeSpans } from './otlp.js';
import type { Span, Value } from './span.js';

export interface ExporterOptions {
  /** Where the spans are posted. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, Value | undefined>>;
  readonly version: string;
  /** Told of spans that are not sent, and why. */
  readonly onDropped: (spans: number, reason: string) => void;
  /** Milliseconds. */
  readonly interval?: number;
  readonly timeout?: number;
}

/** As OpenTelemetry's batch processor has them. */
const [mostWaiting, mostAtOnce, defaultInterval, defaultTimeout] = [2048, 512, 5000, 10_000];
/** Milliseconds before another try; with the last one over, the spans are dropped. */
const pauses = [1000, 2000, 4000];
/** What a receiver answers that may take them later, by the specification. */
const transient = new Set([429, 502, 503, 504]);
/** Milliseconds that the end of the server waits for what is left. */
const longestEnd = 3000;

/** Posts spans in batches, in the background. What waits is bounded: nobody waits for a collector that is slow or gone. */
export class SpanExporter {
  readonly #options: ExporterOptions;
  #waiting: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  readonly #ending = new AbortController();

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  add(span: Span): void {
    if (this.#waiting.length >= mostWaiting) {
      this.#options.onDropped(1, 'too many wait for the collector');
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= mostAtOnce) this.#send();
    else this.#sendLater();
  }

  /** Sends what is left, once. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#ending.abort();
    const end = sleep(longestEnd, undefined, { ref: false });
    const all = (async () => {
      await this.#sending;
      while (this.#waiting.length > 0) await this.#sendBatch();
    })();
    await Promise.race([all, end]);
  }

  #sendLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#send();
    }, this.#options.interval ?? defaultInterval).unref();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= (async () => {
      do await this.#sendBatch();
      while (this.#waiting.length >= mostAtOnce);
      this.#sending = undefined;
      if (this.#waiting.length > 0) this.#sendLater();
    })();
  }

  async #sendBatch(): Promise<void> {
    const { resource, version, onDropped } = this.#options;
    const spans = this.#waiting.splice(0, mostAtOnce);
    if (spans.length === 0) return;
    const body = encodeSpans(spans, resource, { name: 'maas', version });
    for (let tries = 0; ; tries++) {
      const { reason, again, after } = await this.#post(body);
      if (reason === undefined) return;
      const pause = after ?? pauses[tries];
      if (!again || tries >= pauses.length || this.#ending.signal.aborted) {
        onDropped(spans.length, reason);
        return;
      }
      await sleep(pause, undefined, { ref: false, signal: this.#ending.signal }).catch(() => undefined);
    }
  }

  async #post(body: string): Promise<{ reason?: string; again?: boolean; after?: number | undefined }> {
    const { endpoint, headers, timeout = defaultTimeout } = this.#options;
    try {
      const answer = await fetch(endpoint, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(timeout),
      });
      const said = await answer.text();
      if (answer.ok) return {};
      const after = Number(answer.headers.get('retry-after') ?? NaN);
      return {
        reason: `${endpoint} answers ${answer.status}: ${said.slice(0, 200)}`,
        again: transient.has(answer.status),
        after: after > 0 && after <= 60 ? 1000 * after : undefined,
      };
    } catch (error) {
      const { message, cause } = error as Error;
      const why = cause instanceof Error ? `${message}: ${cause.message}` : message;
      return { reason: `${endpoint} cannot be reached: ${why}`, again: true };
    }
  }
}
