import type { Readable } from 'node:stream';
import { MaasError } from '../errors.js';

export interface ProgramRun {
  readonly signal: AbortSignal;
  /** For its stdin; without it, the program has none. */
  readonly input?: string | Readable;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** What a program left: its exit code, and what it wrote, without the last line break. */
export interface ProgramEnd {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end, whatever that is.
 * @throws MaasError MAAS_PROGRAM when it is not installed.
 * @throws the signal's reason when it is aborted.
 */
export async function tryProgram(
  program: string,
  args: readonly string[],
  { signal, input, env, cwd }: ProgramRun,
): Promise<ProgramEnd> {
  signal.throwIfAborted();
  // Loaded where a program is run: most commands run none.
  const { execa } = await import('execa');
  const result = await execa(program, args, {
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
    ...(env && { env }),
    ...(cwd !== undefined && { cwd }),
    reject: false,
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  if (result.exitCode === undefined && result.code === 'ENOENT') {
    throw new MaasError('MAAS_PROGRAM', `${program} is not installed`);
  }
  const { stdout, stderr } = result;
  return { exitCode: result.exitCode ?? -1, stdout, stderr: stderr || (result.originalMessage ?? '') };
}

/**
 * Runs a program that has to succeed; returns what it wrote to stdout.
 * @throws MaasError MAAS_PROGRAM with the end of its stderr when it does not.
 */
export async function runProgram(program: string, args: readonly string[], run: ProgramRun): Promise<string> {
  const { exitCode, stdout, stderr } = await tryProgram(program, args, run);
  if (exitCode === 0) return stdout;
  const said = stderr.trim().split('\n').slice(-5).join('\n  ');
  const verb = args.find((word) => !word.startsWith('-')) ?? '';
  throw new MaasError('MAAS_PROGRAM', `${program} ${verb} failed with exit code ${exitCode}:\n  ${said}`, {
    details: { program, args: [...args], exitCode, stderr },
  });
}
