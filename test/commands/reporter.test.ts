import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createReporter } from '../../src/commands/cli/reporter.js';
import { MaasError } from '../../src/errors.js';

const written = { stdout: '', stderr: '' };
for (const name of ['stdout', 'stderr'] as const) {
  vi.spyOn(process[name], 'write').mockImplementation((text) => {
    written[name] += String(text);
    return true;
  });
}
beforeEach(() => {
  Object.assign(written, { stdout: '', stderr: '' });
});

const quietly = { json: false, events: false, quiet: false, verbose: false };
const note = { event: 'note', stage: 'train', text: 'hello' } as const;
const warning = { event: 'warning', stage: 'train', text: 'careful' } as const;

describe('createReporter', () => {
  it('writes for people: results on stdout, warnings on stderr', () => {
    const reporter = createReporter(quietly);
    reporter.emit(note);
    reporter.emit(warning);
    reporter.result({ a: 1 }, 'done');
    expect(written.stdout).toBe('done\n');
    expect(written.stderr).toMatch(/warning.*: careful\n$/);
    expect(written.stderr).not.toContain('hello');
  });

  it('writes notes with verbose, and no warnings with quiet', () => {
    createReporter({ ...quietly, verbose: true }).emit(note);
    expect(written.stderr).toBe('hello\n');
    createReporter({ ...quietly, quiet: true }).emit(warning);
    expect(written.stderr).toBe('hello\n');
  });

  it('writes one JSON object', () => {
    createReporter({ ...quietly, json: true }).result({ a: 1 }, 'done');
    expect(JSON.parse(written.stdout)).toEqual({ a: 1 });
  });

  it('writes events a line each, the result last', () => {
    const reporter = createReporter({ ...quietly, events: true });
    reporter.emit(warning);
    reporter.result({ a: 1 }, 'done');
    const lines = written.stdout.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { time: expect.any(String) as string, ...warning },
      { event: 'result', a: 1 },
    ]);
    expect(written.stderr).toBe('');
  });

  it.each([
    [new MaasError('MAAS_USAGE', 'no'), 2, 'MAAS_USAGE'],
    [new MaasError('MAAS_GATE_FAILED', 'worse'), 3, 'MAAS_GATE_FAILED'],
    [new MaasError('MAAS_PORT', 'taken'), 4, 'MAAS_PORT'],
    [new MaasError('MAAS_INTERRUPTED', 'stopped'), 130, 'MAAS_INTERRUPTED'],
    [new TypeError('x is not a function'), 1, 'MAAS_BUG'],
    ['thrown text', 1, 'MAAS_BUG'],
  ])('tells %s to people and to programs', (error, exit, code) => {
    const reporter = createReporter({ ...quietly, json: true });
    expect(reporter.fail(error, { stage: 'train', status: 'done' })).toBe(exit);
    expect(JSON.parse(written.stdout)).toMatchObject({ stage: 'train', status: 'failed', error: { code } });
    expect(written.stderr).toContain('error');
  });
});
