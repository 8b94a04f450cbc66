import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MaasError } from '../../src/errors.js';
import { renderError } from '../../src/ui/print-error.js';

const frame = '   |\n14 |   epoch: 60\n   |   ^^^^^';

describe('renderError', () => {
  it('shows code, message, place, frame and hint', () => {
    const error = new MaasError('MAAS_CONFIG_UNKNOWN_KEY', 'unknown key `epoch`', {
      place: { file: 'maas.config.yaml', line: 14, column: 3, frame },
      hint: 'Did you mean `epochs`?',
    });
    expect(renderError(error, { color: false })).toBe(
      [
        'error[MAAS_CONFIG_UNKNOWN_KEY]: unknown key `epoch`',
        '  --> maas.config.yaml:14:3',
        '   |',
        '14 |   epoch: 60',
        '   |   ^^^^^',
        '',
        'hint: Did you mean `epochs`?',
      ].join('\n'),
    );
  });

  it('shows further errors, and a shared hint once', () => {
    const other = new MaasError('MAAS_CONFIG_INVALID', 'seed must be a number', {
      place: { file: 'a.yaml', line: 2 },
    });
    const error = new MaasError('MAAS_CONFIG_INVALID', 'name must be text', {
      place: { file: 'a.yaml' },
      others: [other],
    });
    expect(renderError(error, { color: false })).toBe(
      [
        'error[MAAS_CONFIG_INVALID]: name must be text',
        '  --> a.yaml',
        '',
        'error[MAAS_CONFIG_INVALID]: seed must be a number',
        '  --> a.yaml:2',
        '',
        'hint: Fix the value at the marked place.',
      ].join('\n'),
    );
  });

  it('shows files below the current folder relative to it, and others whole', () => {
    const at = (file: string) =>
      renderError(new MaasError('MAAS_DATA_EMPTY', 'no rows', { place: { file } }), {
        color: false,
        cwd: '/home/me/iris',
      });
    expect(at('/home/me/iris/data/iris.csv')).toContain('--> data/iris.csv\n');
    expect(at('/home/me/iris2/iris.csv')).toContain('--> /home/me/iris2/iris.csv\n');
  });

  it('says the same with colour', () => {
    const error = new MaasError('MAAS_PORT', 'port 8080 is taken');
    const painted = renderError(error, { color: true });
    expect(painted).toContain('\u001b[');
    expect(stripVTControlCharacters(painted)).toBe(renderError(error, { color: false }));
  });

  it('keeps the stack of a bug, and of what caused it', () => {
    const text = renderError(new TypeError('x is not a function', { cause: new Error('deep') }), {
      color: false,
    });
    expect(text).toContain('this is a bug');
    expect(text).toContain('TypeError: x is not a function');
    expect(text).toMatch(/print-error\.test\.ts:\d+/);
    expect(text).toContain('caused by: Error: deep');
  });

  it('hides the stack of a user error unless asked', () => {
    const error = new MaasError('MAAS_DISK', 'cannot write', { cause: new Error('EACCES') });
    expect(renderError(error, { color: false })).not.toContain('EACCES');
    expect(renderError(error, { color: false, verbose: true })).toContain('caused by: Error: EACCES');
  });
});
