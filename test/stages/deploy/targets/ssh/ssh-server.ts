import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { execa } from 'execa';

const sshd = '/usr/sbin/sshd';

/** Why no sshd runs here; undefined when one does. Says so on stderr. */
export function whyNoSshd(): string | undefined {
  const missing = [sshd, 'ssh', 'ssh-keygen', 'flock'].find((name) =>
    name.startsWith('/') ? !existsSync(name) : spawnSync('which', [name]).status !== 0,
  );
  if (missing !== undefined) process.stderr.write(`skipped: ${missing} is not installed\n`);
  return missing;
}

/** An sshd of our own on loopback, with one key that it lets in and one that it does not know. */
export async function startSshd(root: string) {
  const folder = join(root, 'sshd');
  await mkdir(folder, { mode: 0o700 });
  const file = (name: string): string => join(folder, name);
  for (const name of ['host', 'me', 'stranger']) {
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
  }
  const port = await sparePort();
  await writeFile(file('authorized'), await readFile(file('me.pub')));
  await chmod(file('authorized'), 0o600);
  const hostKey = (await readFile(file('host.pub'), 'utf8')).split(' ').slice(0, 2).join(' ');
  await writeFile(file('known'), `[127.0.0.1]:${port} ${hostKey}\n`);
  const otherKey = (await readFile(file('stranger.pub'), 'utf8')).split(' ').slice(0, 2).join(' ');
  await writeFile(file('known-otherwise'), `[127.0.0.1]:${port} ${otherKey}\n`);
  await writeFile(
    file('config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('authorized')}`,
      `PidFile ${file('pid')}`,
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'PermitRootLogin yes',
      'MaxStartups 100',
      '',
    ].join('\n'),
  );
  if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const child = execa(sshd, ['-D', '-e', '-f', file('config')], { reject: false });
  const host = `${userInfo().username}@127.0.0.1`;
  const options = { host, port, identity: file('me'), knownHosts: file('known') };
  for (let tries = 0; tries < 100; tries += 1) {
    const words = ['-p', String(port), '-i', file('me'), '-o', `UserKnownHostsFile=${file('known')}`];
    const { exitCode } = await execa('ssh', [...words, '-o', 'BatchMode=yes', host, 'true'], {
      reject: false,
    });
    if (exitCode === 0) break;
    await wait(50);
  }
  return {
    options,
    file,
    async stop(): Promise<void> {
      child.kill();
      await child;
    },
  };
}

async function sparePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
