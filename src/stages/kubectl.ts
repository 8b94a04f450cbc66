import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { MaasError } from '../errors.js';
import type { Project } from '../plugin/api.js';
import { runProgram, tryProgram } from './run-program.js';

/** Which part of which cluster; the kubeconfig is relative to the project. */
export interface ClusterPlace {
  readonly namespace: string;
  readonly context?: string | undefined;
  readonly kubeconfig?: string | undefined;
}

/** Objects as YAML documents, as `kubectl apply --filename` takes them. */
export function asDocuments(manifests: readonly object[]): string {
  return manifests.map((manifest) => stringify(manifest, { aliasDuplicateObjects: false })).join('---\n');
}

/** Owner of the fields that maas sets, as server-side apply knows it. */
const fieldManager = 'maas';

/** A namespace of a cluster, through kubectl: its own logins, proxies and plugins. */
export class Kubectl {
  /** Which part of which cluster, in the words of the command line. */
  readonly flags: readonly string[];

  constructor(
    project: Project,
    { namespace, context, kubeconfig }: ClusterPlace,
    private readonly signal: AbortSignal,
  ) {
    this.flags = [
      `--namespace=${namespace}`,
      ...(context === undefined ? [] : [`--context=${context}`]),
      ...(kubeconfig === undefined ? [] : [`--kubeconfig=${resolve(project.root, kubeconfig)}`]),
    ];
  }

  /** @returns undefined when there is no such object. */
  async get<T>(kind: string, name: string): Promise<T | undefined> {
    const text = await this.must(['get', kind, name, '--ignore-not-found', '--output=json']);
    return text === '' ? undefined : (JSON.parse(text) as T);
  }

  /** @param labels As a selector: `a=b,c=d`. */
  async list<T>(kind: string, labels: string): Promise<T> {
    return JSON.parse(await this.must(['get', kind, `--selector=${labels}`, '--output=json'])) as T;
  }

  /** Has the cluster take the objects over, each whole; fields that others own and set otherwise are an error. */
  async apply(manifests: readonly object[]): Promise<void> {
    const flags = ['--server-side', `--field-manager=${fieldManager}`, '--filename=-'];
    await this.must(['apply', ...flags], asDocuments(manifests));
  }

  /** What applying would change, as kubectl tells it; empty when nothing would. */
  async diff(manifests: readonly object[]): Promise<string> {
    const flags = ['--server-side', `--field-manager=${fieldManager}`, '--filename=-'];
    const { exitCode, stdout, stderr } = await this.try(['diff', ...flags], asDocuments(manifests));
    if (exitCode <= 1 && exitCode >= 0) return stdout.trim();
    throw new MaasError('MAAS_PROGRAM', `kubectl diff failed: ${stderr.trim()}`);
  }

  /**
   * @param after What the hint of the error has to add.
   * @throws MaasError MAAS_VERIFY_FAILED when the pods are not ready in time.
   */
  async waitFor(what: readonly string[], seconds: number, after = ''): Promise<void> {
    const { exitCode, stdout, stderr } = await this.try([...what, `--timeout=${seconds}s`]);
    if (exitCode === 0) return;
    const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-3).join('; ');
    throw new MaasError('MAAS_VERIFY_FAILED', `the pods did not become ready: ${said}`, {
      hint: `Look at them with \`kubectl describe pods\` and \`kubectl logs\`.${after}`,
    });
  }

  /** @param value Undefined takes the annotation away. */
  async annotate(kind: string, name: string, key: string, value: string | undefined): Promise<void> {
    const change = value === undefined ? `${key}-` : `${key}=${value}`;
    await this.must(['annotate', '--overwrite', kind, name, change]);
  }

  /** Removes an object, if it is there. */
  async remove(kind: string, name: string): Promise<void> {
    await this.must(['delete', kind, name, '--ignore-not-found']);
  }

  /** The last lines of a log; empty when there is none yet. */
  async logs(what: string, lines: number): Promise<string> {
    const { exitCode, stdout } = await this.try(['logs', what, `--tail=${lines}`]);
    return exitCode === 0 ? stdout : '';
  }

  /** Copies a file or a folder out of a pod, whose container must have tar. */
  async copy(pod: string, path: string, target: string): Promise<void> {
    await this.must(['cp', '--retries=3', `${pod}:${path}`, target]);
  }

  /** Asks a Service over the cluster's own proxy. */
  raw(path: string): Promise<string> {
    return this.must(['get', '--raw', path]);
  }

  /** Runs `use` with an address of this machine that leads to a port of a pod or a Service. */
  async forward<T>(what: string, port: number | string, use: (address: string) => Promise<T>): Promise<T> {
    const { execa } = await import('execa');
    const words = ['port-forward', '--address=127.0.0.1', what, `:${port}`];
    const tunnel = execa('kubectl', [...this.flags, ...words], {
      stdin: 'ignore',
      reject: false,
      cancelSignal: this.signal,
    });
    const ended = tunnel.then(({ stderr }): never => {
      this.signal.throwIfAborted();
      throw new MaasError('MAAS_PROGRAM', `kubectl port-forward to ${what} ended: ${stderr.trim()}`);
    });
    ended.catch(() => undefined);
    const stands = new Promise<string>((resolve) => {
      let said = '';
      tunnel.stdout.on('data', (text: Buffer) => {
        said += text.toString('utf8');
        const found = /Forwarding from (127\.0\.0\.1:\d+)/.exec(said);
        if (found) resolve(found[1]!);
      });
    });
    try {
      return await Promise.race([use(await Promise.race([stands, ended])), ended]);
    } finally {
      tunnel.kill();
      await tunnel;
    }
  }

  private try(args: readonly string[], input?: string) {
    return tryProgram('kubectl', [...this.flags, ...args], {
      signal: this.signal,
      ...(input !== undefined && { input }),
    });
  }

  private must(args: readonly string[], input?: string): Promise<string> {
    return runProgram('kubectl', [...this.flags, ...args], {
      signal: this.signal,
      ...(input !== undefined && { input }),
    });
  }
}
