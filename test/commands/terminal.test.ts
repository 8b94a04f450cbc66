import { describe, expect, it } from 'vitest';
import { chooseProgress, isCi, wantsColor } from '../../src/commands/cli/terminal.js';

const tty = { isTTY: true, rows: 24 } as unknown as NodeJS.WriteStream;
const pipe = { isTTY: false } as unknown as NodeJS.WriteStream;

describe('wantsColor', () => {
  it.each([
    ['a terminal', tty, {}, true],
    ['a pipe', pipe, {}, false],
    ['NO_COLOR on a terminal', tty, { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR', tty, { NO_COLOR: '' }, true],
    ['FORCE_COLOR on a pipe', pipe, { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR over NO_COLOR', pipe, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    ['FORCE_COLOR=0', tty, { FORCE_COLOR: '0' }, false],
    ['a dumb terminal', tty, { TERM: 'dumb' }, false],
  ])('%s', (_, stream, env, wanted) => {
    expect(wantsColor(stream, env)).toBe(wanted);
  });
});

describe('isCi', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['false', false],
    ['true', true],
    ['1', true],
  ])('CI=%s → %s', (CI, expected) => {
    expect(isCi({ CI })).toBe(expected);
  });
});

describe('chooseProgress', () => {
  const nothing = { quiet: false, verbose: false, events: false };
  it.each([
    ['a tree on a terminal', {}, { stderr: tty }, 'tree'],
    ['a tree when only stdout is a pipe', {}, { stderr: tty, stdout: pipe }, 'tree'],
    ['lines when stderr is a pipe', {}, { stderr: pipe }, 'lines'],
    ['lines in CI', {}, { stderr: tty, env: { CI: '1' } }, 'lines'],
    ['lines on a terminal without height', {}, { stderr: { ...tty, rows: 0 } }, 'lines'],
    ['lines where events share the terminal', { events: true }, { stderr: tty, stdout: tty }, 'lines'],
    ['a tree where events go elsewhere', { events: true }, { stderr: tty, stdout: pipe }, 'tree'],
    ['every line with --verbose', { verbose: true }, { stderr: tty }, 'lines'],
    ['nothing with --quiet', { quiet: true }, { stderr: tty }, 'silent'],
  ])('%s', (_, wishes, streams, mode) => {
    const output = { stdout: tty, env: {}, ...streams } as Parameters<typeof chooseProgress>[1];
    expect(chooseProgress({ ...nothing, ...wishes }, output).mode).toBe(mode);
  });
});
