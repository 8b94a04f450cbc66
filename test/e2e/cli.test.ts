import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { maas, root, script } from './maas.js';

const elsewhere = tmpdir();

describe('the command line', () => {
  it.each([['--version'], ['version']])('answers %s without oclif', async (word) => {
    const { code, stdout, stderr } = await maas(elsewhere, [word]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(`maas-cli/0.1.0 ${process.platform}-${process.arch} node-${process.version}`);
  });

  it('lists its commands', async () => {
    const { code, stdout } = await maas(elsewhere, ['--help']);
    expect(code).toBe(0);
    for (const command of ['train', 'compress', 'deploy', 'serve', 'run', 'status', 'init']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    }
  });

  it.each(['train', 'compress', 'deploy', 'serve', 'run', 'status', 'init'])(
    'explains %s with examples',
    async (command) => {
      const { code, stdout } = await maas(elsewhere, ['help', command]);
      expect(code).toBe(0);
      expect(stdout).toContain(`$ maas ${command}`);
      for (const part of ['USAGE', 'EXAMPLES', '--json', '--events', '--verbose', '--quiet']) {
        expect(stdout).toContain(part);
      }
    },
  );

  it.each([
    [['trian'], 'there is no command "trian"', 'Did you mean "train"?'],
    [['run', '--form', 'train'], 'nonexistent flag: --form', 'Did you mean "--from"?'],
    [['run', '--quiet', '--verbose'], 'cannot also be provided', 'Run `maas run --help`.'],
    [['deploy', '2'], 'unexpected argument: 2', '--rollback'],
    [['serve', '--port', '70000'], '70000', 'Run `maas serve --help`.'],
    [['init'], 'name the folder to make', '`maas init DIR`'],
  ])('refuses %j as usage', async (args, message, hint) => {
    const { code, stdout, stderr } = await maas(elsewhere, args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error\[MAAS_USAGE\]: /);
    expect(stderr).toContain(message);
    expect(stderr).toContain(`hint: `);
    expect(stderr).toContain(hint);
  });

  it.each([[['trian', '--json']], [['run', '--form', '--json']], [['status', '--json']]])(
    'prints one JSON object for %j',
    async (args) => {
      const { code, stdout } = await maas(elsewhere, args);
      expect(code).toBe(2);
      expect(JSON.parse(stdout)).toMatchObject({
        status: 'failed',
        error: { code: expect.stringMatching(/^MAAS_/) as string, hint: expect.any(String) as string },
      });
    },
  );

  it.each([
    [['--set', 'serve.wokers=1'], 'MAAS_CONFIG_UNKNOWN_KEY', 'Did you mean "workers"?'],
    [['--set', 'serve.maxBatchSize=-1'], 'MAAS_CONFIG_INVALID', '--set'],
    [['--set', 'serve.workers'], 'MAAS_USAGE', '--set needs KEY=VALUE'],
    // It is read: that there is no such file is found out later.
    [['--set', 'serve.port=0'], 'MAAS_MODEL_INVALID', 'none.onnx'],
    [['--set', 'serve.port=0', '--config', 'none.yaml'], 'MAAS_CONFIG_MISSING', 'none.yaml'],
  ])('heeds %j for a model that needs no project', async (args, error, says) => {
    const { code, stderr } = await maas(elsewhere, ['serve', 'none.onnx', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(`error[${error}]: `);
    expect(stderr).toContain(says);
  });

  it('ends --events with the result, also when it failed', async () => {
    const { stdout } = await maas(elsewhere, ['run', '--events']);
    const last = JSON.parse(stdout.split('\n').at(-1)!) as Record<string, unknown>;
    expect(last).toMatchObject({ event: 'result', status: 'failed', error: { code: 'MAAS_CONFIG_MISSING' } });
    expect(Date.parse(last['time'] as string)).not.toBeNaN();
  });

  it('ends quietly when its reader goes away', () => {
    const line = `set -o pipefail; "${process.execPath}" "${script}" --help | head -n 1`;
    const { status, stdout, stderr } = spawnSync('bash', ['-c', line], { cwd: root, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('From data to a served release');
  });

  it('paints errors when asked, and only then', async () => {
    const plain = await maas(elsewhere, ['status']);
    expect(plain.stderr).not.toContain('\u001b');
    const painted = await maas(elsewhere, ['status'], { env: { FORCE_COLOR: '1', NO_COLOR: '' } });
    expect(painted.stderr).toContain('\u001b[31merror[MAAS_CONFIG_MISSING]');
  });
});
