import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parse } from 'yaml';

export interface ApiObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; generation?: number; resourceVersion?: string } & Record<string, unknown>;
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
  data?: Record<string, string>;
}

/** Kinds that are known here: group and version, plural, kind. */
const kinds: readonly (readonly [string, string, string])[] = [
  ['v1', 'services', 'Service'],
  ['v1', 'configmaps', 'ConfigMap'],
  ['apps/v1', 'deployments', 'Deployment'],
  ['policy/v1', 'poddisruptionbudgets', 'PodDisruptionBudget'],
  ['autoscaling/v2', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler'],
  ['serving.kserve.io/v1beta1', 'inferenceservices', 'InferenceService'],
  ['v1', 'pods', 'Pod'],
  ['batch/v1', 'jobs', 'Job'],
  ['kubeflow.org/v2beta1', 'mpijobs', 'MPIJob'],
  ['trainer.kubeflow.org/v1alpha1', 'trainjobs', 'TrainJob'],
  ['trainer.kubeflow.org/v1alpha1', 'trainingruntimes', 'TrainingRuntime'],
];

/**
 * As much of a Kubernetes API server as kubectl needs for server-side apply, rollout status, annotate, get, wait and delete. It stands in
 * for a real one, which no package brings: it runs no pods, and a test says whether they would become ready.
 */
export class ApiServer {
  readonly objects = new Map<string, ApiObject>();
  /** What was asked, as `PATCH deployments/things`. */
  readonly asked: string[] = [];
  /** Whether the pods of a workload would become ready. */
  isHealthy: (object: ApiObject) => boolean = () => true;
  /** What the Service or a pod answers to a path; text as it is. */
  answer: (path: string) => unknown = () => undefined;
  /** Names of pods that are ready, whatever labels are asked for. */
  pods: readonly string[] = [];
  /** Told of each object that comes. */
  onApplied: (object: ApiObject) => void = () => undefined;
  protected readonly server: Server;
  private version = 0;

  constructor() {
    this.server = createServer((request, response) => void this.handle(request, response));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  object(key: string): ApiObject | undefined {
    return this.objects.get(key);
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const url = new URL(request.url!, 'http://x');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const send: Send = (status, value) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (request.method === 'GET' && this.intercept(url, response)) return;
    const proxied = /\/(?:services|pods)\/[^/]+\/proxy(\/.*)$/.exec(url.pathname);
    if (proxied) {
      const answer = this.answer(proxied[1]!);
      return typeof answer === 'string' ? response.end(answer) : send(200, answer);
    }
    if (url.searchParams.has('labelSelector') && url.pathname.endsWith('/pods')) {
      const conditions = [{ type: 'Ready', status: 'True' }];
      const items = this.pods.map((name) => ({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, uid: `uid-${name}` },
        status: { conditions },
      }));
      return send(200, { apiVersion: 'v1', kind: 'PodList', metadata: { resourceVersion: '1' }, items });
    }
    const found = /^\/(?:api|apis)\/(.+?)\/namespaces\/[^/]+\/([^/]+)(?:\/([^/]+))?$/.exec(url.pathname);
    if (found === null) return this.discover(url.pathname, send);
    const [, groupVersion, plural, name] = found;
    const kind = kinds.find((each) => each[0] === groupVersion && each[1] === plural);
    if (kind === undefined) return send(404, failure(404, 'NotFound', 'no such kind'));
    const key = name ?? /metadata\.name=(.+)/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1] ?? '';
    const at = `${plural!}/${key}`;
    this.asked.push(`${request.method!} ${at}`);
    const there = this.objects.get(at);
    if (request.method === 'PATCH') {
      const dry = url.searchParams.get('dryRun') !== null;
      return send(200, this.patch(at, parse(body) as ApiObject, there, request, dry));
    }
    if (name === undefined) {
      if (url.searchParams.get('watch') === 'true') return this.watch(response, there);
      const metadata = { resourceVersion: String(this.version) };
      const items = there ? [there] : [];
      return send(200, { apiVersion: groupVersion, kind: `${kind[2]}List`, metadata, items });
    }
    if (there === undefined) return send(404, failure(404, 'NotFound', `${plural!} "${name}" not found`));
    if (request.method === 'DELETE') this.objects.delete(at);
    return send(200, there);
  }

  private patch(
    at: string,
    body: ApiObject,
    there: ApiObject | undefined,
    request: IncomingMessage,
    dry: boolean,
  ): ApiObject {
    const isApply = request.headers['content-type'] === 'application/apply-patch+yaml';
    const generation = (there?.metadata.generation ?? 0) + (isApply ? 1 : 0);
    this.version += 1;
    const annotations = Object.fromEntries(
      Object.entries({
        ...(there?.metadata['annotations'] as object | undefined),
        ...(body.metadata['annotations'] as object | undefined),
        // Null takes one away (RFC 7386).
      }).filter(([, value]) => value !== null),
    );
    const base = isApply ? body : there!;
    const object: ApiObject = {
      ...base,
      metadata: {
        ...base.metadata,
        annotations,
        generation,
        uid: at,
        resourceVersion: String(this.version),
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
    };
    object.status = this.settle(object);
    if (!dry) this.objects.set(at, object);
    if (isApply && !dry) {
      this.applied(object);
      this.onApplied(object);
    }
    return object;
  }

  /** Answers what it knows better; true when it has. */
  protected intercept(_url: URL, _response: ServerResponse): boolean {
    return false;
  }

  /** Told of each object that comes. */
  protected applied(_object: ApiObject): void {
    // Nothing runs here.
  }

  /** What the controllers would make of it. */
  protected settle(object: ApiObject): Record<string, unknown> {
    const healthy = this.isHealthy(object);
    const replicas = Number(object.spec?.['replicas'] ?? 1);
    const observedGeneration = object.metadata.generation;
    if (object.kind === 'InferenceService') {
      return { observedGeneration, conditions: [{ type: 'Ready', status: healthy ? 'True' : 'False' }] };
    }
    if (object.kind !== 'Deployment') return {};
    const done = healthy ? replicas : 0;
    const counts = { replicas, updatedReplicas: replicas, availableReplicas: done, readyReplicas: done };
    return { observedGeneration, ...counts };
  }

  private watch(response: ServerResponse, object: ApiObject | undefined): boolean {
    response.writeHead(200, { 'content-type': 'application/json' });
    return object !== undefined && response.write(`${JSON.stringify({ type: 'MODIFIED', object })}\n`);
  }

  private discover(path: string, send: Send): unknown {
    const groups = [...new Set(kinds.map(([groupVersion]) => groupVersion))].filter((name) => name !== 'v1');
    if (path === '/api') return send(200, { kind: 'APIVersions', versions: ['v1'] });
    if (path === '/apis') {
      return send(200, {
        kind: 'APIGroupList',
        apiVersion: 'v1',
        groups: groups.map((groupVersion) => {
          const [name, version] = groupVersion.split('/');
          return { name, versions: [{ groupVersion, version }], preferredVersion: { groupVersion, version } };
        }),
      });
    }
    if (path === '/version') return send(200, { major: '1', minor: '33', gitVersion: 'v1.33.0' });
    if (path === '/openapi/v3') return send(200, { paths: Object.fromEntries(kinds.map(describePath)) });
    const described = kinds.filter((kind) => path === `/openapi/v3${rootOf(kind[0])}`);
    if (described.length > 0) return send(200, describeFields(described));
    const groupVersion = path.replace(/^\/apis?\//, '');
    const resources = kinds
      .filter((each) => each[0] === groupVersion)
      .map(([, name, kind]) => ({
        name,
        singularName: kind.toLowerCase(),
        namespaced: true,
        kind,
        verbs: ['get', 'list', 'watch', 'patch', 'create', 'delete', 'update'],
      }));
    if (resources.length === 0) return send(404, failure(404, 'NotFound', `no ${path}`));
    return send(200, { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources });
  }
}

type Send = (status: number, value: unknown) => unknown;
type Kind = (typeof kinds)[number];

function rootOf(groupVersion: string): string {
  return groupVersion === 'v1' ? '/api/v1' : `/apis/${groupVersion}`;
}

function describePath([groupVersion]: Kind): [string, object] {
  const root = rootOf(groupVersion);
  return [root.slice(1), { serverRelativeURL: `/openapi/v3${root}?hash=1` }];
}

/** That the server itself refuses unknown fields: else kubectl would want the schema of every kind. */
function describeFields(described: readonly Kind[]): object {
  const paths = described.map(([groupVersion, plural, kind]) => {
    const [group, version] = groupVersion === 'v1' ? ['', 'v1'] : groupVersion.split('/');
    const patch = {
      parameters: [{ name: 'fieldValidation', in: 'query' }],
      'x-kubernetes-group-version-kind': { group, version, kind },
      responses: {},
    };
    return [`${rootOf(groupVersion)}/namespaces/{namespace}/${plural}/{name}`, { patch }];
  });
  return { openapi: '3.0.0', info: { title: 'x', version: '1' }, paths: Object.fromEntries(paths) as object };
}

function failure(code: number, reason: string, message: string) {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}
