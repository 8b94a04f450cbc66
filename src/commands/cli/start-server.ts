import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { MaasError } from '../../errors.js';
import { ownScript } from '../../stages/deploy/own-script.js';

export interface OwnServer {
  readonly url: URL;
  readonly model: string;
  stop(): Promise<void>;
}

/** Lines of its stderr that an error shows. */
const shownLines = 20;

/**
 * `maas serve ARGS` in a process of its own, on a spare port of this machine.
 * @throws MaasError MAAS_SERVER with the end of what it wrote to stderr when it ends before it serves.
 */
export async function startServer(args: readonly string[], signal: AbortSignal): Promise<OwnServer> {
  const child = execa(
    process.execPath,
    [ownScript(), 'serve', ...args, '--host', '127.0.0.1', '--port', '0', '--events'],
    { stdin: 'ignore', buffer: false, reject: false, cancelSignal: signal, forceKillAfterDelay: 5000 },
  );
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    said.push(line);
    if (said.length > shownLines) said.shift();
  });
  const serving = new Promise<{ url: string; model: string }>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as { event: string; url: string; model: string };
      if (event.event === 'serving') resolve(event);
    });
  });
  const ended = child.then(({ exitCode }): never => {
    signal.throwIfAborted();
    throw new MaasError(
      'MAAS_SERVER',
      `maas serve ended with exit code ${exitCode ?? 'none'}:\n${said.join('\n')}`,
      {
        hint: 'Run `maas serve` by itself and mend what it tells.',
      },
    );
  });
  ended.catch(() => undefined);
  const { url, model } = await Promise.race([serving, ended]);
  return {
    url: new URL(url),
    model,
    async stop() {
      child.kill('SIGTERM');
      await child;
    },
  };
}
