import { MaasError, exitCodes } from '../../errors.js';
import type { ProgressEvent } from '../../plugin/events.js';
import { renderError } from '../../ui/print-error.js';
import type { ProgressOutput } from '../../ui/run-tasks.js';
import { createStyle } from '../../ui/style.js';
import { chooseProgress, wantsColor } from './terminal.js';

export interface ReporterOptions {
  readonly json: boolean;
  readonly events: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

export interface Reporter {
  readonly progress: ProgressOutput;
  readonly quiet: boolean;
  /** Whether stdout is painted. */
  readonly color: boolean;
  /** A line on stdout with --events; warnings, and with --verbose notes, are lines on stderr otherwise. */
  readonly emit: (event: ProgressEvent) => void;
  /** The command's result on stdout: one JSON object, the last event, or `text` for people. */
  result(json: object, text: string): void;
  /** A remark for people on stderr; silent with --quiet. */
  say(text: string): void;
  /** Prints what went wrong. `known` joins the JSON form. Returns the exit code. */
  fail(error: unknown, known?: object): number;
}

/** The one place where commands write: stdout is data, stderr is for people. */
export function createReporter(options: ReporterOptions): Reporter {
  const { stdout, stderr, env } = process;
  const progress = chooseProgress(options, { stdout, stderr, env });
  const style = createStyle(progress.color);
  const printEvent = (event: object) => {
    stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
  };
  return {
    progress,
    quiet: options.quiet,
    color: wantsColor(stdout, env),
    emit(event) {
      if (options.events) printEvent(event);
      else if (event.event === 'warning' && !options.quiet) {
        stderr.write(`${style.yellow('warning')}: ${event.text}\n`);
      } else if (event.event === 'note' && options.verbose) stderr.write(`${event.text}\n`);
      else if (event.event === 'request') {
        const { method, path, status = 'left', seconds } = event;
        stderr.write(`${method} ${path} ${status} ${(1000 * seconds).toFixed(1)} ms\n`);
      }
    },
    result(json, text) {
      if (options.events) printEvent({ event: 'result', ...json });
      else if (options.json) stdout.write(`${JSON.stringify(json, null, 2)}\n`);
      else if (text !== '') stdout.write(`${text}\n`);
    },
    say(text) {
      if (!options.quiet) stderr.write(`${text}\n`);
    },
    fail(error, known = {}) {
      stderr.write(
        `${renderError(error, { color: progress.color, verbose: options.verbose, cwd: process.cwd() })}\n`,
      );
      const json = { ...known, status: 'failed', error: errorJson(error) };
      if (options.events) printEvent({ event: 'result', ...json });
      else if (options.json) stdout.write(`${JSON.stringify(json, null, 2)}\n`);
      return error instanceof MaasError ? error.exitCode : exitCodes.bug;
    },
  };
}

function errorJson(error: unknown): object {
  if (error instanceof MaasError) return error.toJSON();
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'MAAS_BUG', message, ...(error instanceof Error && { stack: error.stack }) };
}
