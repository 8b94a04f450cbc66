import { fork, type ChildProcess } from 'node:child_process';
import { ownFile } from '../own-files.js';

/**
 * Starts one of maas' own programs beside this process, which talks to it by messages; typed arrays go as they are.
 * @param path Below dist/.
 */
export function forkOwn(path: string, signal: AbortSignal | undefined): ChildProcess {
  const child = fork(ownFile(`dist/${path}`), [], {
    serialization: 'advanced',
    execArgv: [],
    stdio: 'ignore',
    ...(signal && { signal }),
  });
  // One that cannot be started says so twice: of itself, and of the order that did not reach it.
  child.on('error', () => undefined);
  return child;
}
