import { isAbsolute, relative } from 'node:path';
import { MaasError, type Place } from '../errors.js';
import { createStyle, type Style } from './style.js';

export interface ErrorPrintOptions {
  readonly color: boolean;
  /** Also print stacks and causes of errors that the user can act on. */
  readonly verbose?: boolean;
  /** Files inside this folder are shown relative to it. */
  readonly cwd?: string;
}

/**
 * An error as people read it on stderr, without a newline at the end:
 *
 *     error[MAAS_CONFIG_UNKNOWN_KEY]: unknown key `epoch`
 *       --> maas.config.yaml:14:3
 *        |
 *     14 |   epoch: 60
 *        |   ^^^^^
 *
 *     hint: Did you mean `epochs`?
 *
 * Anything but a MaasError is a bug of ours: its stack is printed whole.
 */
export function renderError(error: unknown, options: ErrorPrintOptions): string {
  const style = createStyle(options.color);
  if (!(error instanceof MaasError)) return renderBug(error, style);
  // Several errors of one kind usually share their hint: say it once, after the last.
  const all = [error, ...error.others];
  const blocks = all.map((each, index) => {
    const lines = [`${style.bold(style.red(`error[${each.code}]`))}: ${style.bold(each.message)}`];
    if (each.place) lines.push(...renderPlace(shorten(each.place, options.cwd), style));
    if (each.hint !== '' && each.hint !== all[index + 1]?.hint) {
      lines.push('', `${style.bold(style.cyan('hint'))}: ${each.hint}`);
    }
    if (options.verbose) lines.push('', style.dim(stackOf(each)));
    return lines.join('\n');
  });
  return blocks.join('\n\n');
}

export function formatPlace({ file, line, column }: Place): string {
  return [file, line, line === undefined ? undefined : column].filter((part) => part !== undefined).join(':');
}

function shorten(place: Place, cwd: string | undefined): Place {
  if (cwd === undefined || !isAbsolute(place.file)) return place;
  const path = relative(cwd, place.file);
  return path === '' || path.startsWith('..') ? place : { ...place, file: path };
}

function renderPlace(place: Place, style: Style): string[] {
  const lines = [`  ${style.cyan('-->')} ${formatPlace(place)}`];
  if (place.frame) lines.push(...place.frame.trimEnd().split('\n'));
  return lines;
}

function renderBug(error: unknown, style: Style): string {
  return [
    `${style.bold(style.red('error'))}: ${style.bold('maas itself failed; this is a bug')}`,
    stackOf(error),
    '',
    `${style.bold(style.cyan('hint'))}: Please report it with the lines above, the command and the config file.`,
  ].join('\n');
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`;
  return `${error.stack ?? `${error.name}: ${error.message}`}${cause}`;
}
