import type { HttpRequest, HttpResponse, Protocol, ServeHost } from '../../plugin/api.js';
import type { Answer } from './http.js';
import { jsonResponse } from './json/body.js';
import type { Metrics } from './metrics.js';
import type { ModelHost } from './model-host.js';
import { allowMethods, RequestError } from './request-error.js';
import type { WatchedModel } from './watch/watch-model.js';

/** Stands for the server itself where a protocol's name is asked for. */
const own = 'maas';

export interface AnswererOptions {
  readonly models: ModelHost;
  readonly protocols: readonly Protocol[];
  readonly metrics: Metrics;
  /** Told of errors that are nobody's fault but ours. */
  readonly onBug: (error: unknown) => void;
}

export interface Answerer {
  /** Never rejects: every error becomes an answer. */
  readonly answer: (request: HttpRequest) => Promise<Answer>;
  readonly fail: (error: unknown, protocol?: string) => Answer;
}

/** True for callers that name HTML among what they take: browsers, not curl. */
function wantsPage(accept: string | string[] | undefined): boolean {
  return /(?:^|,)\s*text\/html\s*(?:[;,]|$)/i.test(String(accept ?? ''));
}

/** Field by field: a copy by spreading takes longer than much of what a small model's answer takes. */
function asAnswer(protocol: string, { status, headers, body, model }: HttpResponse): Answer {
  return { protocol, status, headers, body, model };
}

/** Whether anything is compared with its training data. */
function isWatched(models: readonly WatchedModel[]): boolean {
  return models.some(({ drift }) => drift !== undefined);
}

/** Gives each request to the server's own pages, or to the first protocol that knows its path. */
export function createAnswerer({ models, protocols, metrics, onBug }: AnswererOptions): Answerer {
  async function answer(request: HttpRequest): Promise<Answer> {
    const lease = models.lease(request.headers);
    let protocol = own;
    try {
      const page = ownPage(request, lease.host);
      if (page) return asAnswer(protocol, await page);
      for (const candidate of protocols) {
        protocol = candidate.name;
        const response = candidate.handle(request, lease.host);
        if (response) return asAnswer(protocol, await response);
      }
      protocol = own;
      throw new RequestError(404, `there is nothing at ${request.path}; GET / tells what there is`);
    } catch (error) {
      const failed = fail(error, protocol);
      // What is the caller's fault says nothing of the model.
      return failed.status < 500 ? failed : { ...failed, model: lease.given };
    } finally {
      lease.end();
    }
  }

  function ownPage(
    { path, method, headers, query }: HttpRequest,
    host: ServeHost,
  ): Promise<HttpResponse> | undefined {
    if (path !== '/' && path !== '/metrics' && path !== '/openapi.json' && path !== '/drift')
      return undefined;
    allowMethods(method, ['GET', 'HEAD']);
    if (path === '/metrics') return printMetrics();
    if (path === '/openapi.json') return printApi(host);
    if (path === '/drift') return printDrift();
    return wantsPage(headers['accept']) ? showPage(host, query) : Promise.resolve(describe(host));
  }

  // Loaded when somebody asks: most servers never see a browser.
  async function showPage(host: ServeHost, query: URLSearchParams): Promise<HttpResponse> {
    return (await import('./page.js')).renderPage(host, query.get('model') ?? undefined);
  }

  async function printApi(host: ServeHost): Promise<HttpResponse> {
    return jsonResponse((await import('./openapi.js')).printApi(host));
  }

  async function printDrift(): Promise<HttpResponse> {
    const { describeDrift } = await import('./watch/describe-drift.js');
    return jsonResponse(`${JSON.stringify(describeDrift(models.models()), null, 2)}\n`);
  }

  function describe(host: ServeHost): HttpResponse {
    const served = host.models().map(({ name, version, signature, inputs, outputs }) => ({
      name,
      version,
      ...(signature && { task: signature.task, features: signature.features }),
      inputs,
      outputs,
    }));
    const body = {
      name: host.projectName,
      ready: host.ready,
      models: served,
      protocols: protocols.map(({ name, summary }) => ({ name, summary })),
      metrics: '/metrics',
      openapi: '/openapi.json',
      ...(isWatched(models.models()) && { drift: '/drift' }),
    };
    return jsonResponse(`${JSON.stringify(body, null, 2)}\n`, { headers: { vary: 'accept' } });
  }

  async function printMetrics(): Promise<HttpResponse> {
    return { status: 200, headers: { 'content-type': metrics.contentType }, body: await metrics.print() };
  }

  function fail(error: unknown, protocol: string = own): Answer {
    if (error instanceof RequestError) {
      const { status, message, headers, problems } = error;
      const body = JSON.stringify({ error: message, ...(problems.length > 0 && { problems }) });
      return { protocol, ...jsonResponse(body, { headers }), status };
    }
    // The caller learns nothing about our insides; the operator does.
    onBug(error);
    return { protocol, ...jsonResponse('{"error":"internal error"}'), status: 500 };
  }

  return { answer, fail };
}
