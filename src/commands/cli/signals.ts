import { MaasError, exitCodes } from '../../errors.js';

export interface StopSignal {
  readonly signal: AbortSignal;
  dispose(): void;
}

const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Milliseconds. One Ctrl-C under npx arrives twice: from the terminal, and passed on by npm. */
const samePress = 500;

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that what is under way can end cleanly; the second ends
 * the process at once. Artifacts are safe either way: they are committed by rename.
 */
export function listenForStop(onFirst: (name: string) => void): StopSignal {
  const controller = new AbortController();
  let firstAt = 0;
  const listener = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAt < samePress) return;
      process.exit(exitCodes.interrupted);
    }
    firstAt = performance.now();
    onFirst(name);
    controller.abort(new MaasError('MAAS_INTERRUPTED', `stopped by ${name}`));
  };
  for (const name of names) process.on(name, listener);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of names) process.off(name, listener);
    },
  };
}

/** What a stage throws when it is aborted may be anything; the user asked for it, so it is no bug. */
export function asInterruption(error: unknown, signal: AbortSignal): unknown {
  if (!signal.aborted || error instanceof MaasError) return error;
  return signal.reason instanceof MaasError
    ? signal.reason
    : new MaasError('MAAS_INTERRUPTED', 'stopped', { cause: error });
}
