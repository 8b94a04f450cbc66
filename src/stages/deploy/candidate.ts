import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import type { ResultPromise } from 'execa';
import { MaasError } from '../../errors.js';
import type { Release } from '../../plugin/api.js';
import { ownScript } from './own-script.js';

/** A release at work in a child process of its own. */
export interface Candidate {
  readonly url: string;
  readonly model: string;
  /** Digest that the child says it serves. */
  readonly digest: string;
  /** When the process was started, on `performance`'s clock. */
  readonly startedAt: number;
  /** Rejects with MAAS_VERIFY_FAILED when the child ends unasked; never resolves. */
  readonly ended: Promise<never>;
  /** Asks it to stop, and waits. @throws MaasError MAAS_VERIFY_FAILED when it does not end with exit code 0. */
  stop(): Promise<void>;
}

export interface CandidateOptions {
  /** Script that takes the arguments of `maas`, run by this very Node. Default: this very CLI. */
  readonly script?: string;
  /** Further arguments, such as `--config FILE`. */
  readonly args?: readonly string[];
  /** Aborting it kills the child. */
  readonly signal: AbortSignal;
}

/** A process that serves. */
export type Child = ResultPromise<{ stdin: 'pipe'; buffer: false; reject: false }>;

/**
 * Kills the child when the other end of its stdin closes: when we are killed and can clean up no more. Only the child
 * itself looks at stdin, hence the flag is taken out of what it hands on to children and workers of its own.
 */
export const lifeline = `data:text/javascript,${encodeURIComponent(`
import { isMainThread } from 'node:worker_threads';
if (isMainThread) {
  process.execArgv.splice(0);
  process.stdin.on('close', () => process.kill(process.pid, 'SIGKILL')).on('error', () => {}).resume().unref();
}`)}`;

const stderrLines = 20;
/** Milliseconds. */
const grace = 500;

/**
 * Serves `release` on a spare port of this machine while `use` runs. No child is left behind, whatever happens.
 * @throws MaasError MAAS_VERIFY_FAILED with the end of the child's stderr when it ends before it serves.
 */
export async function withCandidate<T>(
  release: Release,
  options: CandidateOptions,
  use: (candidate: Candidate) => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  const script = options.script ?? ownScript();
  const address = ['--host', '127.0.0.1', '--port', '0', '--plain'];
  const { execa } = await import('execa');
  const child: Child = execa(
    process.execPath,
    ['--import', lifeline, script, 'serve', '--release', release.path, ...address, '--events'].concat(
      options.args ?? [],
    ),
    { stdin: 'pipe', buffer: false, reject: false },
  );
  const kill = () => child.kill('SIGKILL');
  options.signal.addEventListener('abort', kill, { once: true });
  if (options.signal.aborted) kill();
  try {
    const tail = collectTail(child);
    const ended = child.then((result): never => {
      throw failure(`the candidate ended by itself (${describeEnd(result)})`, tail);
    });
    // Whoever races it sees the rejection; when nobody does any more, it is no news.
    ended.catch(() => undefined);
    const serving = await Promise.race([readServing(child), ended]);
    const candidate = { ...serving, startedAt, ended, stop: () => stop(child, tail) };
    return await use(candidate).catch(async (error: unknown) => {
      // A connection breaks a moment before the process that dies is seen to be dead, which tells more.
      if (!(error instanceof MaasError)) await Promise.race([ended, wait(grace, undefined, { ref: false })]);
      throw error;
    });
  } finally {
    options.signal.removeEventListener('abort', kill);
    kill();
    await child;
  }
}

/** Reads events from the child's stdout until it says where it serves; goes on draining stdout after that. */
export function readServing(child: Child): Promise<Pick<Candidate, 'url' | 'model' | 'digest'>> {
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = parseEvent(line);
      if (event?.event === 'serving') resolve({ url: event.url, model: event.model, digest: event.digest });
    });
  });
}

function parseEvent(line: string): Record<'event' | 'url' | 'model' | 'digest', string> | undefined {
  try {
    return JSON.parse(line) as Record<'event' | 'url' | 'model' | 'digest', string>;
  } catch {
    return undefined;
  }
}

export function collectTail(child: Child): string[] {
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    lines.push(line);
    if (lines.length > stderrLines) lines.shift();
  });
  return lines;
}

async function stop(child: Child, tail: readonly string[]): Promise<void> {
  child.kill('SIGTERM');
  const result = await child;
  if (result.exitCode !== 0) {
    throw failure(`the candidate did not stop cleanly on SIGTERM (${describeEnd(result)})`, tail);
  }
}

function describeEnd(result: Awaited<Child>): string {
  if (result.exitCode !== undefined) return `exit code ${result.exitCode}`;
  return result.signal ?? result.originalMessage ?? 'it could not be started';
}

function failure(message: string, tail: readonly string[]): MaasError {
  const said = tail.length > 0 ? `. It said:\n${tail.map((line) => `  ${line}`).join('\n')}` : '';
  return new MaasError('MAAS_VERIFY_FAILED', message + said, { details: { stderr: [...tail] } });
}
