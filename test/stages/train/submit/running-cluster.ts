import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Container, PodSpec } from 'kubernetes-types/core/v1.js';
import { ApiServer, type ApiObject } from '../../deploy/targets/kubernetes/api-server.js';

interface Templates {
  readonly template?: { readonly spec: PodSpec };
  readonly mpiReplicaSpecs?: { readonly Launcher: { readonly template: { readonly spec: PodSpec } } };
}

/**
 * A cluster whose launchers run: each as a process of this machine, in the folder that its pod would work in. Its workers do
 * not; ranks are on the launcher's host. `kubectl logs` and `kubectl cp` get what there is.
 */
export class RunningCluster extends ApiServer {
  readonly #logs = new Map<string, string>();
  readonly #running = new Set<ChildProcess>();
  /** The server does not know them any more. */
  readonly #upgraded = new Set<Duplex>();

  constructor() {
    super();
    this.server.on('upgrade', (request, socket) => {
      this.#upgraded.add(socket);
      this.exec(request, socket);
    });
  }

  override async close(): Promise<void> {
    for (const child of this.#running) child.kill('SIGKILL');
    for (const socket of this.#upgraded) socket.destroy();
    await super.close();
  }

  protected override settle(object: ApiObject): Record<string, unknown> {
    if (object.kind === 'Pod') {
      return { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    }
    if (this.launcherOf(object)) return { conditions: [{ type: 'Created', status: 'True' }] };
    return super.settle(object);
  }

  protected override applied(object: ApiObject): void {
    const container = this.launcherOf(object);
    if (!container) return;
    const { name } = object.metadata;
    const [program, ...words] = [...container.command!, ...(container.args ?? [])];
    const env = Object.fromEntries((container.env ?? []).map((each) => [each.name, each.value]));
    const child = spawn(program!, words, { cwd: container.workingDir, env: { ...process.env, ...env } });
    this.#running.add(child);
    this.#logs.set(name, '');
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => this.#logs.set(name, this.#logs.get(name)! + String(text)));
    }
    object.status = { conditions: [{ type: 'Running', status: 'True' }] };
    child.on('close', (code) => {
      this.#running.delete(child);
      const good = object.kind === 'MPIJob' ? 'Succeeded' : 'Complete';
      const type = code === 0 ? good : 'Failed';
      object.status = { conditions: [{ type, status: 'True', reason: `ExitCode${code}` }] };
    });
  }

  /** The container that is maas. */
  private launcherOf(object: ApiObject): Container | undefined {
    const spec = object.spec as Templates | undefined;
    if (object.kind === 'MPIJob') return spec!.mpiReplicaSpecs!.Launcher.template.spec.containers[0];
    if (object.kind === 'Job') return spec!.template!.spec.containers[0];
    if (object.kind !== 'TrainJob') return undefined;
    const { name } = object.spec!['runtimeRef'] as { readonly name: string };
    const runtime = this.object(`trainingruntimes/${name}`)!.spec as {
      readonly template: {
        readonly spec: {
          readonly replicatedJobs: {
            readonly name: string;
            readonly template: { readonly spec: Templates };
          }[];
        };
      };
    };
    const launcher = runtime.template.spec.replicatedJobs.find((job) => job.name === 'launcher')!;
    return launcher.template.spec.template!.spec.containers[0];
  }

  /** The Job of a launcher, its pod, and what that has printed. */
  protected override intercept(url: URL, response: ServerResponse): boolean {
    const send = (value: object) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value)) && true;
    const job = /\/jobs\/([^/]+?)(?:-launcher(?:-0)?)?$/.exec(url.pathname)?.[1];
    if (job !== undefined && this.#logs.has(job)) {
      const selector = { matchLabels: { job } };
      const { status } = this.object(`jobs/${job}`) ?? {};
      const metadata = { name: job, namespace: 'default' };
      return send({ apiVersion: 'batch/v1', kind: 'Job', metadata, spec: { selector }, status });
    }
    const asked = /^job=(.*)$/.exec(url.searchParams.get('labelSelector') ?? '')?.[1];
    if (asked !== undefined) {
      const pod = {
        metadata: { name: `${asked}-pod`, namespace: 'default' },
        spec: { containers: [{ name: 'node' }] },
        status: { phase: 'Running' },
      };
      return send({ apiVersion: 'v1', kind: 'PodList', metadata: {}, items: [pod] });
    }
    const logged = /\/pods\/([^/]+)-pod\/log$/.exec(url.pathname)?.[1];
    if (logged === undefined) return false;
    const lines = (this.#logs.get(logged) ?? '')
      .split('\n')
      .slice(-1 - Number(url.searchParams.get('tailLines')));
    response.writeHead(200, { 'content-type': 'text/plain' }).end(lines.join('\n'));
    return true;
  }

  /** `kubectl exec`: one process, whose output travels in channels of a WebSocket (v5.channel.k8s.io, RFC 6455). */
  private exec(request: IncomingMessage, socket: Duplex): void {
    const url = new URL(request.url!, 'http://x');
    const [program, ...words] = url.searchParams.getAll('command');
    const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
    const accept = createHash('sha1')
      .update(request.headers['sec-websocket-key']! + guid)
      .digest('base64');
    socket.write(
      [
        'HTTP/1.1 101 Switching Protocols',
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Accept: ${accept}`,
        'Sec-WebSocket-Protocol: v5.channel.k8s.io',
        '\r\n',
      ].join('\r\n'),
    );
    socket.on('error', () => undefined);
    const channel = (number: number, data: Uint8Array) =>
      socket.write(frame(0x82, Buffer.concat([Buffer.of(number), data])));
    const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.on('data', (data: Buffer) => channel(1, data));
    child.stderr.on('data', (data: Buffer) => channel(2, data));
    child.on('close', (code) => {
      const status = code === 0 ? { status: 'Success' } : { status: 'Failure', message: `exit code ${code}` };
      channel(3, Buffer.from(JSON.stringify({ metadata: {}, ...status })));
      socket.end(frame(0x88, Buffer.of(0x03, 0xe8)));
    });
  }
}

function frame(opcode: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(data.length < 126 ? 2 : data.length < 65_536 ? 4 : 10);
  head[0] = opcode;
  if (head.length === 2) head[1] = data.length;
  else if (head.length === 4) {
    head[1] = 126;
    head.writeUInt16BE(data.length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(data.length), 2);
  }
  return Buffer.concat([head, data]);
}
