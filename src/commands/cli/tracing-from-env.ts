import { MaasError } from '../../errors.js';

/** `serve.tracing`, as the environment says it. */
export interface TracingFromEnv {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly rate: number;
  readonly service: string;
  readonly attributes: Readonly<Record<string, string>>;
}

type Env = Readonly<Record<string, string | undefined>>;

/** As `readTracing`; what makes no sense is no reason not to serve. @param warn Told of it. */
export function tracingFromEnv(env: Env, warn: (text: string) => void): TracingFromEnv | undefined {
  try {
    return readTracing(env);
  } catch (error) {
    if (!(error instanceof MaasError)) throw error;
    warn(`nothing is traced: ${error.message}. ${error.hint ?? ''}`);
    return undefined;
  }
}

/**
 * What https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ says of where traces go. Undefined
 * where it names no collector, or wants none asked.
 * @throws MaasError MAAS_USAGE naming the variable that makes no sense.
 */
export function readTracing(env: Env, service = 'maas'): TracingFromEnv | undefined {
  const get = (name: string): string | undefined => {
    const text = env[name]?.trim();
    return text === '' ? undefined : text;
  };
  const exporter = get('OTEL_TRACES_EXPORTER') ?? 'otlp';
  if (get('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || exporter !== 'otlp') return undefined;
  const own = get('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const common = get('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (own === undefined && common === undefined) return undefined;
  const protocol = get('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? get('OTEL_EXPORTER_OTLP_PROTOCOL');
  if (protocol === 'grpc') {
    throw wrong('OTEL_EXPORTER_OTLP_PROTOCOL', 'is grpc, and traces are sent over HTTP', {
      hint: "Name the collector's HTTP port, most often 4318, and http/json.",
    });
  }
  const endpoint =
    own === undefined
      ? joinPath(readUrl('OTEL_EXPORTER_OTLP_ENDPOINT', common!))
      : readUrl('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', own).href;
  const attributes = readPairs('OTEL_RESOURCE_ATTRIBUTES', get('OTEL_RESOURCE_ATTRIBUTES'));
  return {
    endpoint,
    headers: {
      ...readPairs('OTEL_EXPORTER_OTLP_HEADERS', get('OTEL_EXPORTER_OTLP_HEADERS')),
      ...readPairs('OTEL_EXPORTER_OTLP_TRACES_HEADERS', get('OTEL_EXPORTER_OTLP_TRACES_HEADERS')),
    },
    rate: readRate(get('OTEL_TRACES_SAMPLER'), get('OTEL_TRACES_SAMPLER_ARG')),
    service: get('OTEL_SERVICE_NAME') ?? attributes['service.name'] ?? service,
    attributes: Object.fromEntries(Object.entries(attributes).filter(([name]) => name !== 'service.name')),
  };
}

function joinPath(url: URL): string {
  return new URL(`${url.pathname.replace(/\/$/, '')}/v1/traces${url.search}`, url).href;
}

function readUrl(name: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw wrong(name, `is no address of HTTP: ${text}`, { hint: 'Write it as http://localhost:4318.' });
}

/** `a=1,b=2`, with what is special in a value percent-encoded. */
function readPairs(name: string, text: string | undefined): Record<string, string> {
  const pairs = (text ?? '').split(',').filter((pair) => pair.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      try {
        if (at > 0) return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())];
      } catch {
        // Told below.
      }
      throw wrong(name, `is no list of NAME=VALUE`, { hint: 'Write it as one=1,two=2.' });
    }),
  );
}

/** Whether a caller's trace goes on is up to the caller, as with the samplers that are `parentbased_`. */
function readRate(sampler = 'parentbased_always_on', ratio = '1'): number {
  const kind = sampler.replace(/^parentbased_/, '');
  if (kind === 'always_on') return 1;
  if (kind === 'always_off') return 0;
  if (kind !== 'traceidratio') {
    throw wrong('OTEL_TRACES_SAMPLER', `is ${sampler}, which is not known here`, {
      hint: 'Known are always_on, always_off, traceidratio, each with parentbased_ before it.',
    });
  }
  const rate = Number(ratio);
  if (rate >= 0 && rate <= 1) return rate;
  throw wrong('OTEL_TRACES_SAMPLER_ARG', `is ${ratio}, and no share from 0 to 1`, {
    hint: 'Write it as 0.1.',
  });
}

function wrong(name: string, what: string, { hint }: { hint: string }): MaasError {
  return new MaasError('MAAS_USAGE', `${name} ${what}`, { hint });
}
