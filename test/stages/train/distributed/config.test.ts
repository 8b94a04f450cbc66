import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { distributedSchema, sizeOf } from '../../../../src/stages/train/distributed/config.js';
import { examineHost } from '../../../../src/stages/train/distributed/examine.js';
import { hostsOf } from '../../../../src/stages/train/distributed/hosts.js';
import { launchLine, quote } from '../../../../src/stages/train/distributed/launchers.js';

const messages = (section: unknown) =>
  distributedSchema.safeParse(section).error?.issues.map(({ message }) => message);

describe('train.distributed', () => {
  it('counts the processes', () => {
    expect(sizeOf(distributedSchema.parse({ processes: 3 }))).toBe(3);
    expect(sizeOf(distributedSchema.parse({ hosts: ['a', 'b:4'] }))).toBe(5);
    expect(sizeOf(distributedSchema.parse({ hosts: ['a', 'b:4'], processes: 2 }))).toBe(2);
  });

  it.each([
    [{}, 'expected one of: processes, hosts'],
    [{ hostfile: 'hosts' }, 'expected processes beside hostfile'],
    [{ hosts: ['a'], hostfile: 'hosts' }, 'hosts come from one place: remove hosts, or hostfile'],
    [{ hosts: ['a; rm -rf /'] }, 'expected the name of a host, or NAME:SLOTS'],
    [{ hosts: ['-x'], processes: 0 }, undefined],
  ])('refuses %j', (section, message) => {
    const found = messages(section);
    expect(found).toBeDefined();
    if (message !== undefined) expect(found).toContain(message);
  });

  it('writes a line that the shell reads as it is meant', () => {
    const line = launchLine(
      distributedSchema.parse({ hosts: ['a', 'b:2'], args: ['--mca', 'plm_rsh_agent', "it's here"] }),
      { hosts: ['a'], size: 1 },
      ['node', 'rank.js'],
    );
    expect(line.slice(0, 3)).toEqual(['mpirun', '-n', '1']);
    expect(line.join(' ')).toContain('--host a --mca plm_rsh_agent');
    expect(quote(line)).toMatch(/'it'\\''s here' node rank\.js$/);
    expect(line.join(' ')).toContain('oob_tcp_keepalive_time 5');
  });

  it('writes MPICH’s line in its own words', () => {
    const distributed = distributedSchema.parse({ launcher: 'mpich', processes: 3, hostfile: 'machines' });
    const line = launchLine(distributed, { hosts: undefined, size: 3 }, ['node']).join(' ');
    expect(line).toMatch(/^mpiexec\.hydra -n 3 /);
    expect(line).toMatch(/ -f machines node$/);
    expect(line).not.toContain('--mca');
  });

  it('reads the names in a hostfile of either manner', async () => {
    const root = await mkdtemp(join(tmpdir(), 'maas-hosts-'));
    await writeFile(join(root, 'machines'), '# rack 1\nnode1 slots=4\nnode2:2 # spare\n\n  node3\n');
    const distributed = distributedSchema.parse({ processes: 3, hostfile: 'machines' });
    const project = { name: 'x', seed: 1, root, configFile: join(root, 'maas.config.yaml'), config: {} };
    expect(await hostsOf(distributed, project)).toEqual(['node1', 'node2', 'node3']);
    await writeFile(join(root, 'machines'), 'node1 slots=4\nthis is ! nonsense\n');
    await expect(hostsOf(distributed, project)).rejects.toMatchObject({
      code: 'MAAS_CONFIG_INVALID',
      place: { file: join(root, 'machines'), line: 2 },
    });
    await rm(join(root, 'machines'));
    await expect(hostsOf(distributed, project)).rejects.toThrow(
      'the hostfile machines cannot be read: ENOENT',
    );
    await rm(root, { recursive: true });
  });

  it('compares what a host has with what is here', () => {
    const here = {
      node: '22.1.0',
      arch: 'x64',
      maas: '1.0.0',
      onnxruntime: '1.30.0',
      mpi: 'Open MPI v4.1.4',
    };
    expect(examineHost('a', here, here).state).toBe('ok');
    const old = examineHost('b', { ...here, node: '20.19.0', mpi: 'Open MPI v5' }, here);
    expect(old).toMatchObject({
      name: 'host b',
      state: 'missing',
      detail: 'node 20.19.0, and 22.1.0 here; mpi Open MPI v5, and Open MPI v4.1.4 here',
    });
    expect(examineHost('c', 'ssh: connect to host c: refused', here).hint).toContain('ssh c');
    expect(examineHost('d', { ...here, error: 'koffi is not installed' }, here).state).toBe('missing');
  });
});
