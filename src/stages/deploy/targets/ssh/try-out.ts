import { execa } from 'execa';
import { MaasError } from '../../../../errors.js';
import type { Release } from '../../../../plugin/api.js';
import { type Child, collectTail, lifeline, readServing } from '../../candidate.js';
import { checkServer } from '../../check-server.js';
import type { Replay } from '../../replay.js';
import type { ServerFolder } from './folders.js';
import { lastLines, quote, type Remote } from './remote.js';

export interface TryOut {
  readonly server: ServerFolder;
  /** Node there. */
  readonly node: string;
  /** Seconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/**
 * Starts the release there, on a spare port of that machine's own address, and replays its golden rows through a tunnel. Nothing is
 * left running there, whatever happens: the server ends with the connection.
 * @throws MaasError MAAS_VERIFY_FAILED telling what differs, or what the server wrote.
 */
export async function tryOut(
  remote: Remote,
  release: Release,
  { server, node, timeout, signal }: TryOut,
): Promise<Replay | undefined> {
  const options = JSON.stringify({ host: '127.0.0.1', port: 0, grpcPort: null });
  const words = [
    node,
    '--import',
    lifeline,
    `${server.path}/${server.entry}`,
    `releases/${release.digest}`,
    options,
  ];
  const script = `export ORT_DISABLE_TELEMETRY=1 NODE_ENV=production\nexec ${words.map(quote).join(' ')}`;
  const child: Child = execa('ssh', remote.words(script), { stdin: 'pipe', buffer: false, reject: false });
  const kill = (): void => void child.kill();
  const timer = setTimeout(kill, timeout * 1000);
  signal.addEventListener('abort', kill, { once: true });
  try {
    const tail = collectTail(child);
    const ended = child.then(({ exitCode }): never => {
      signal.throwIfAborted();
      const how = exitCode === undefined ? `nothing after ${timeout} s` : `exit code ${exitCode}`;
      throw new MaasError(
        'MAAS_VERIFY_FAILED',
        `the release does not serve on ${remote.host} (${how}): ${lastLines(tail.join('\n'))}`,
      );
    });
    ended.catch(() => undefined);
    const { url, model } = await Promise.race([readServing(child), ended]);
    return await remote.withTunnel(Number(new URL(url).port), (here) =>
      Promise.race([checkServer({ url: here, model, signal }, release, timeout), ended]),
    );
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
    child.kill();
    await child;
  }
}
