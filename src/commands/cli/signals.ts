import { MaasError, exitCodes } from '../../errors.js';

export interface StopSignal {
  readonly signal: AbortSignal;
  /** Aborts as a signal would. */
  stop(reason: string): void;
  dispose(): void;
}

const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort, so that what is under way can end cleanly; the second ends
 * the process at once. Artifacts are safe either way: they are committed by rename.
 */
export function listenForStop(onFirst: (name: string) => void): StopSignal {
  const controller = new AbortController();
  const stop = (reason: string) => {
    controller.abort(new MaasError('MAAS_INTERRUPTED', `stopped by ${reason}`));
  };
  const listener = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    onFirst(name);
    stop(name);
  };
  for (const name of names) process.on(name, listener);
  return {
    signal: controller.signal,
    stop,
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
