import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const run = (program: string, ...args: string[]): string => String(execFileSync(program, args));

/** Why there can be no network of namespaces here; undefined when there can. */
export function whyNoNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return 'it takes root to make network namespaces';
  for (const program of ['ip', 'ssh', '/usr/sbin/sshd', 'unshare', 'mpirun']) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `there is no ${program}`;
  }
  const name = `maas-${process.pid}-try`;
  const made = spawnSync('ip', ['netns', 'add', name]);
  if (made.status !== 0) return `ip netns: ${String(made.stderr).trim()}`;
  // A bridge needs a part of the kernel of its own.
  const bridge = spawnSync('ip', ['-n', name, 'link', 'add', 'br0', 'type', 'bridge']);
  run('ip', 'netns', 'del', name);
  return bridge.status === 0 ? undefined : `a bridge: ${String(bridge.stderr).trim()}`;
}

/**
 * So many hosts on one wire, each a network namespace with a name and an SSH server of its own; the first is where people
 * sit. They share this machine's disk.
 */
export class Network {
  readonly addresses: readonly string[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'maas-net-'));
  readonly #name = `maas-${process.pid}`;

  constructor(hosts: number) {
    this.addresses = Array.from({ length: hosts }, (_, host) => `10.77.0.${10 + host}`);
    const [wire, key] = [`${this.#name}-wire`, join(this.#folder, 'key')];
    run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key);
    mkdirSync('/run/sshd', { recursive: true });
    run('ip', 'netns', 'add', wire);
    run('ip', '-n', wire, 'link', 'add', 'br0', 'type', 'bridge');
    run('ip', '-n', wire, 'link', 'set', 'br0', 'up');
    for (const [host, address] of this.addresses.entries()) {
      const space = this.#space(host);
      run('ip', 'netns', 'add', space);
      const ends = ['link', 'add', `port${host}`, 'netns', wire, 'type', 'veth'];
      run('ip', ...ends, 'peer', 'name', 'eth0', 'netns', space);
      run('ip', '-n', wire, 'link', 'set', `port${host}`, 'master', 'br0');
      this.link(host, 'up');
      run('ip', '-n', space, 'address', 'add', `${address}/24`, 'dev', 'eth0');
      for (const device of ['eth0', 'lo']) run('ip', '-n', space, 'link', 'set', device, 'up');
      const settings = join(this.#folder, `sshd-${host}`);
      const lines = [
        `HostKey ${key}`,
        `AuthorizedKeysFile ${key}.pub`,
        'StrictModes no',
        'UsePAM no',
        'PidFile none',
      ];
      writeFileSync(settings, `${lines.join('\n')}\n`);
      run(...this.words(host, ['/usr/sbin/sshd', '-f', settings]));
    }
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'BatchMode=yes',
      'LogLevel=ERROR',
    ];
    const agent = `#!/bin/sh\nexec ssh -i ${key} ${options.map((option) => `-o ${option}`).join(' ')} "$@"\n`;
    writeFileSync(this.agent, agent, { mode: 0o755 });
  }

  /** What reaches a host in the manner of ssh. */
  get agent(): string {
    return join(this.#folder, 'agent');
  }

  /** The words that run others on a host. */
  words(host: number, others: readonly string[]): [string, ...string[]] {
    const named = ['unshare', '--uts', 'sh', '-c', `hostname host${host}; exec "$@"`, 'sh'];
    return ['ip', 'netns', 'exec', this.#space(host), ...named, ...others];
  }

  /** Cuts the wire to a host, or mends it. */
  link(host: number, state: 'up' | 'down'): void {
    run('ip', '-n', `${this.#name}-wire`, 'link', 'set', `port${host}`, state);
  }

  /** Processes on a host, by their command lines. */
  find(host: number, line = ''): number[] {
    const pids = run('ip', 'netns', 'pids', this.#space(host)).split('\n').filter(Boolean).map(Number);
    return pids.filter((pid) => new RegExp(line).test(commandLine(pid)));
  }

  close(): void {
    for (const host of this.addresses.keys()) {
      for (const pid of this.find(host)) process.kill(pid, 'SIGKILL');
      run('ip', 'netns', 'del', this.#space(host));
    }
    run('ip', 'netns', 'del', `${this.#name}-wire`);
    rmSync(this.#folder, { recursive: true });
  }

  #space(host: number): string {
    return `${this.#name}-host${host}`;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}
