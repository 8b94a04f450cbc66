import { createInterface } from 'node:readline';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa, type Options } from 'execa';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const script = join(root, 'bin', 'run.js');
export const template = join(root, 'templates', 'tabular-classifier');

/** What the CLI sees of this machine's settings must not depend on who runs the tests. */
const env = { NO_COLOR: '1', FORCE_COLOR: undefined, CI: undefined, NODE_ENV: undefined };

export interface Result {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** Runs the real CLI to its end. */
export async function maas(cwd: string, args: readonly string[], options: Options = {}): Promise<Result> {
  const started = performance.now();
  const result = await execa(process.execPath, [script, ...args], {
    cwd,
    env,
    reject: false,
    stdin: 'ignore',
    ...options,
  });
  return {
    code: result.exitCode,
    stdout: String(result.stdout),
    stderr: String(result.stderr),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Runs the CLI with --json; fails with what it wrote to stderr when it fails. */
export async function maasJson<T>(cwd: string, args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await maas(cwd, [...args, '--json', '--quiet']);
  if (code !== 0) throw new Error(`maas ${args.join(' ')} ended with ${code}\n${stderr}`);
  return JSON.parse(stdout) as T;
}

export type Event = Record<string, unknown> & { readonly event: string };

/** Starts the CLI with --events. */
export function startMaas(cwd: string, args: readonly string[]) {
  const child = execa(process.execPath, [script, ...args, '--events'], {
    cwd,
    env,
    reject: false,
    stdin: 'ignore',
    buffer: { stdout: false },
  });
  const events: Event[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    events.push(JSON.parse(line) as Event);
    for (const wake of waiting) wake();
  });
  const ended = child.then(({ exitCode, signal, stderr }) => {
    for (const wake of waiting) wake();
    return { code: exitCode, signal, stderr };
  });
  /** The first event that fits, or undefined when the process ends without one. */
  const next = (fits: (event: Event) => boolean) =>
    new Promise<Event | undefined>((resolve) => {
      const look = () => {
        const found = events.find(fits);
        if (found) {
          waiting.delete(look);
          resolve(found);
        }
      };
      waiting.add(look);
      look();
      void ended.then(() => {
        look();
        resolve(undefined);
      });
    });
  return { child, events, ended, next };
}

export interface Server {
  readonly url: string;
  readonly events: readonly Event[];
  stop(signal?: NodeJS.Signals): Promise<{ code: number | undefined; stderr: string }>;
}

/** Starts `maas serve` on a spare port and waits until it serves. */
export async function serve(cwd: string, args: readonly string[] = []): Promise<Server> {
  const { child, events, ended, next } = startMaas(cwd, ['serve', '--port', '0', ...args]);
  const serving = await next(({ event }) => event === 'serving');
  if (!serving) throw new Error(`maas serve ended: ${(await ended).stderr}`);
  return {
    url: serving['url'] as string,
    events,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

export async function post<T>(url: string, body: unknown): Promise<T> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export interface TemporaryProject {
  readonly path: string;
  /** Replaces text in a file of the project. */
  edit(file: string, from: string | RegExp, to: string): Promise<void>;
  remove(): Promise<void>;
}

/** A copy of the template in a folder of its own, compressed by one pass: its search takes seconds, and goes by the clock. */
export async function makeProject(): Promise<TemporaryProject> {
  const path = await mkdtemp(join(tmpdir(), 'maas-e2e-'));
  await cp(template, path, { recursive: true, filter: (source) => !/node_modules|\.maas$/.test(source) });
  const project: TemporaryProject = {
    path,
    async edit(file, from, to) {
      const text = await readFile(join(path, file), 'utf8');
      const edited = text.replace(from, to);
      if (edited === text) throw new Error(`${file} holds no ${String(from)}`);
      await writeFile(join(path, file), edited);
    },
    remove: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  };
  await project.edit('maas.config.yaml', /auto: .*/, 'passes: [{ quantize: { mode: static } }]');
  return project;
}

export interface RunJson {
  readonly status: string;
  readonly stages: Record<string, StageJson>;
  readonly release: { readonly digest: string; readonly path: string } | null;
}

export interface StageJson {
  readonly stage: string;
  readonly status: string;
  readonly artifact: string;
  readonly digest: string;
  readonly metrics: Record<string, unknown>;
  readonly measured: Record<string, unknown>;
  readonly why: readonly string[];
}
