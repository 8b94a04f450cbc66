import { describe, expect, it } from 'vitest';
import { distributedSchema, sizeOf } from '../../../../src/stages/train/distributed/config.js';
import { mpirunLine, quote } from '../../../../src/stages/train/distributed/mpirun.js';

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
    const line = mpirunLine(
      distributedSchema.parse({ hosts: ['a', 'b:2'], args: ['--mca', 'plm_rsh_agent', "it's here"] }),
      { hosts: ['a'], size: 1 },
      ['node', 'rank.js'],
    );
    expect(line.slice(0, 3)).toEqual(['mpirun', '-n', '1']);
    expect(line.join(' ')).toContain('--host a --mca plm_rsh_agent');
    expect(quote(line)).toMatch(/'it'\\''s here' node rank\.js$/);
    expect(line.join(' ')).toContain('oob_tcp_keepalive_time 5');
  });
});
