import type { ModelSource, Protocol, Registry, RunningService } from '../../../src/plugin/api.js';
import type { ProgressEvent } from '../../../src/plugin/events.js';
import { serveOptions, type ServeOptions } from '../../../src/stages/serve/config.js';
import { openInferenceProtocol, predictProtocol } from '../../../src/stages/serve/index.js';
import { startServing } from '../../../src/stages/serve/serve.js';

export interface Served extends RunningService {
  readonly events: ProgressEvent[];
  get(path: string): Promise<Response>;
  post(path: string, body: unknown): Promise<Response>;
}

export interface StartOptions {
  readonly options?: Partial<ServeOptions>;
  readonly follow?: boolean;
  readonly kind?: ModelSource['kind'];
  readonly protocols?: readonly Protocol[];
  readonly signal?: AbortSignal;
}

/** Serves a release on a spare port. */
export async function start(
  path: string,
  { options, follow, kind, protocols, signal }: StartOptions = {},
): Promise<Served> {
  const events: ProgressEvent[] = [];
  const service = await startServing({
    options: serveOptions.parse({ port: 0, ...options }),
    registry: registryOf(protocols ?? [predictProtocol, openInferenceProtocol]),
    source: { kind: kind ?? 'release', path, follow: follow ?? false },
    signal: signal ?? new AbortController().signal,
    emit: (event) => events.push(event),
  });
  return {
    url: service.url,
    get model() {
      return service.model;
    },
    get digest() {
      return service.digest;
    },
    stop: () => service.stop(),
    events,
    get: (path) => fetch(service.url + path),
    post: (path, body) => post(service.url + path, body),
  };
}

export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

function registryOf(protocols: readonly Protocol[]): Registry {
  return {
    stages: [],
    engines: new Map(),
    passes: new Map(),
    targets: new Map(),
    services: new Map(),
    protocols: new Map(protocols.map((protocol) => [protocol.name, protocol])),
  };
}
