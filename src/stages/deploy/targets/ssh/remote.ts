import { createServer, type AddressInfo, connect } from 'node:net';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { execa } from 'execa';
import { MaasError } from '../../../../errors.js';
import type { TargetContext } from '../../../../plugin/api.js';
import { clusterName } from '../../../cluster-options.js';
import { type ProgramEnd, tryProgram } from '../../../run-program.js';
import type { SshOptions } from './options.js';

/** Milliseconds between looks at a tunnel that does not stand yet. */
const pause = 25;
/** Exit code of `ssh` for what is its own failure, not the command's. */
const ownFailure = 255;

/** Exit code of a script when another one holds the lock, or the folder cannot be made. */
const locked = 75;
/** Exit code of a script when there is no deploy folder. */
export const noFolder = 74;

export interface ScriptOptions {
  /** For its stdin. */
  readonly input?: string | Readable;
  /** Makes the folder, and waits until nobody else changes it. */
  readonly change?: boolean;
}

/** Another machine, through the ssh of this one: its config, agent, proxies and known hosts. */
export class Remote {
  readonly host: string;
  /** Folder there; commands run in it. */
  readonly directory: string;
  private readonly flags: readonly string[];
  private readonly signal: AbortSignal;

  constructor({ project, options, signal }: TargetContext<SshOptions>) {
    const { host, port, identity, knownHosts, directory } = options;
    this.host = host;
    this.signal = signal;
    this.directory = directory ?? `maas/${clusterName(project.name) || 'model'}`;
    const settings = [
      // Nobody is there to be asked: what would be asked fails, and an unknown host does.
      'BatchMode=yes',
      'ConnectTimeout=15',
      'ServerAliveInterval=15',
      'ServerAliveCountMax=4',
      ...(knownHosts === undefined
        ? []
        : [`UserKnownHostsFile=${resolve(project.root, knownHosts)}`, 'StrictHostKeyChecking=yes']),
      ...(identity === undefined
        ? []
        : [`IdentityFile=${resolve(project.root, identity)}`, 'IdentitiesOnly=yes']),
    ];
    this.flags = [
      ...(port === undefined ? [] : ['-p', String(port)]),
      '-T',
      ...settings.flatMap((setting) => ['-o', setting]),
    ];
  }

  /** Words of a command line that runs a script (POSIX sh) in the folder there. */
  words(script: string, { change = false }: ScriptOptions = {}): string[] {
    const folder = quote(this.directory);
    const start = change
      ? // One at a time. What a kill left in tmp/ is nobody's once the lock is held.
        `mkdir -p ${folder} && cd ${folder} && exec 9>lock && flock -w 60 9 || exit ${locked}\nrm -rf tmp && mkdir tmp || exit 1\n`
      : `cd ${folder} 2>/dev/null || exit ${noFolder}\n`;
    return [...this.flags, '--', this.host, `exec sh -c ${quote(start + script)}`];
  }

  /**
   * Runs a script there to its end.
   * @throws MaasError MAAS_PROGRAM when the machine cannot be reached.
   */
  async try(script: string, options: ScriptOptions = {}): Promise<ProgramEnd> {
    const { input } = options;
    const run = { signal: this.signal, ...(input !== undefined && { input }) };
    const end = await tryProgram('ssh', this.words(script, options), run);
    if (options.change === true && end.exitCode === locked) throw this.cannotLock(end.stderr);
    if (end.exitCode === ownFailure || end.exitCode < 0) throw this.unreachable(end.stderr);
    return end;
  }

  /** @throws MaasError MAAS_PROGRAM with the end of what it wrote when it fails. */
  async must(doing: string, script: string, options: ScriptOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.try(script, options);
    if (exitCode === 0) return stdout;
    throw new MaasError('MAAS_PROGRAM', `${this.host} could not ${doing}: ${lastLines(stderr)}`, {
      details: { host: this.host, exitCode, stderr },
    });
  }

  /** Runs `use` with a port of this machine that leads to one of the other's. */
  async withTunnel<T>(port: number, use: (url: string) => Promise<T>): Promise<T> {
    const here = await sparePort();
    const forward = ['-N', '-o', 'ExitOnForwardFailure=yes', '-L', `127.0.0.1:${here}:127.0.0.1:${port}`];
    const tunnel = execa('ssh', [...this.flags, ...forward, '--', this.host], {
      stdin: 'ignore',
      reject: false,
      cancelSignal: this.signal,
    });
    const ended = tunnel.then(({ stderr }): never => {
      throw this.unreachable(stderr);
    });
    ended.catch(() => undefined);
    try {
      const stands = async (): Promise<void> => {
        while (!(await isOpen(here))) await wait(pause, undefined, { signal: this.signal });
      };
      await Promise.race([stands(), ended]);
      return await Promise.race([use(`http://127.0.0.1:${here}`), ended]);
    } finally {
      tunnel.kill();
      await tunnel;
    }
  }

  private cannotLock(stderr: string): MaasError {
    const where = `${this.host}:${this.directory}`;
    if (stderr.trim() === '') return new MaasError('MAAS_LOCKED', `another deploy is at work on ${where}`);
    return new MaasError('MAAS_PROGRAM', `${where} cannot be written: ${lastLines(stderr)}`, {
      hint: 'It needs a folder that you may write, and sh, flock, tar, gzip and sha256sum.',
    });
  }

  private unreachable(stderr: string): MaasError {
    this.signal.throwIfAborted();
    const hint = /host key verification failed|REMOTE HOST IDENTIFICATION/i.test(stderr)
      ? `Connect once by hand (\`ssh ${this.host}\`) and compare the host's key, or name a file with it in knownHosts.`
      : /permission denied/i.test(stderr)
        ? 'Load your key into the agent (`ssh-add`), or name it in deploy.target.ssh.identity; passwords are never asked for.'
        : `Check that \`ssh ${this.host}\` works by itself.`;
    return new MaasError('MAAS_PROGRAM', `${this.host} cannot be reached: ${lastLines(stderr)}`, { hint });
  }
}

/** A word for sh. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

export function lastLines(text: string): string {
  return text.trim().split('\n').slice(-4).join('\n  ');
}

async function sparePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    const end = (answer: boolean) => () => {
      socket.destroy();
      done(answer);
    };
    socket.once('connect', end(true)).once('error', end(false));
  });
}
