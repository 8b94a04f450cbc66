import type { ProgressOutput } from '../../ui/run-tasks.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether to paint what goes to `stream`: FORCE_COLOR and NO_COLOR are heard before the terminal is asked. */
export function wantsColor(stream: { isTTY?: boolean }, env: Environment): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined && forced !== '') return forced !== '0' && forced !== 'false';
  if (env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '') return false;
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

export function isCi(env: Environment): boolean {
  return env['CI'] !== undefined && !['', '0', 'false'].includes(env['CI']);
}

export interface ProgressWishes {
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly events: boolean;
}

/** A tree where it can be redrawn without harm, lines elsewhere, nothing with --quiet. */
export function chooseProgress(
  wishes: ProgressWishes,
  { stdout, stderr, env }: { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream; env: Environment },
): ProgressOutput {
  const color = wantsColor(stderr, env);
  if (wishes.quiet) return { mode: 'silent', stream: stderr, color };
  // Event lines on the same terminal would be drawn over.
  const mixed = wishes.events && stdout.isTTY;
  // A terminal that does not know its height (rows is 0) has no room to draw in.
  const redrawable = stderr.isTTY && stderr.rows !== 0 && env['TERM'] !== 'dumb' && !isCi(env) && !mixed;
  if (redrawable && !wishes.verbose) return { mode: 'tree', stream: stderr, color };
  return { mode: 'lines', stream: stderr, color, ...(wishes.verbose && { outputInterval: 0 }) };
}
