import { describe, expect, it } from 'vitest';
import { readTracing, tracingFromEnv } from '../../src/commands/cli/tracing-from-env.js';
import type { MaasError } from '../../src/errors.js';

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

describe('the variables of OpenTelemetry', () => {
  it.each([
    {},
    { ...endpoint, OTEL_SDK_DISABLED: 'true' },
    { ...endpoint, OTEL_TRACES_EXPORTER: 'none' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
  ])('turn nothing on: %j', (env) => {
    expect(readTracing(env)).toBeUndefined();
  });

  it('name the collector, in general and for traces', () => {
    expect(readTracing(endpoint)).toEqual({
      endpoint: 'http://collector:4318/v1/traces',
      headers: {},
      rate: 1,
      service: 'maas',
      attributes: {},
    });
    expect(readTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://x.example/otlp/?a=1' })?.endpoint).toBe(
      'https://x.example/otlp/v1/traces?a=1',
    );
    const own = { ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces:1/here' };
    expect(readTracing(own)?.endpoint).toBe('http://traces:1/here');
  });

  it('name headers, the server, and the share', () => {
    const env = {
      ...endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: 'a=1,b=two%20words',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'a=2',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,deployment.environment.name=test',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.25',
    };
    expect(readTracing(env)).toMatchObject({
      headers: { a: '2', b: 'two words' },
      service: 'other',
      attributes: { 'deployment.environment.name': 'test' },
      rate: 0.25,
    });
    expect(readTracing({ ...env, OTEL_SERVICE_NAME: 'mine' })?.service).toBe('mine');
    expect(readTracing({ ...env, OTEL_TRACES_SAMPLER: 'always_off' })?.rate).toBe(0);
  });

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT is no address of HTTP'],
    [{ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL is grpc'],
    [{ ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: 'a' }, 'OTEL_EXPORTER_OTLP_HEADERS is no list'],
    [{ ...endpoint, OTEL_TRACES_SAMPLER: 'jaeger' }, 'OTEL_TRACES_SAMPLER is jaeger'],
    [{ ...endpoint, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' }, 'SAMPLER_ARG is 2'],
  ])('are refused where they make no sense: %j', (env, message) => {
    expect(() => readTracing(env)).toThrow(
      expect.objectContaining({
        code: 'MAAS_USAGE',
        message: expect.stringContaining(message) as string,
      }) as MaasError,
    );
  });

  it('do not keep a server from serving', () => {
    const said: string[] = [];
    expect(
      tracingFromEnv({ ...endpoint, OTEL_TRACES_SAMPLER: 'jaeger' }, (text) => said.push(text)),
    ).toBeUndefined();
    expect(said).toEqual([expect.stringContaining('OTEL_TRACES_SAMPLER is jaeger')]);
  });
});
