import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Names one process for good: a pid alone is given to another process sooner or later. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** Linux: this boot of the machine. Elsewhere empty. */
  readonly boot: string;
  /** Linux: the pid namespace (containers have their own). Elsewhere empty. */
  readonly space: string;
  /** Linux: when the process started, in clock ticks since boot. Elsewhere empty. */
  readonly start: string;
}

/** `elsewhere`: on another machine or in another container, so that it cannot be seen from here. */
export type Life = 'alive' | 'dead' | 'elsewhere';

export async function identifySelf(): Promise<ProcessIdentity> {
  const [boot, space, status] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    readlink('/proc/self/ns/pid').catch(() => ''),
    readStatus(process.pid),
  ]);
  return { pid: process.pid, host: hostname(), boot: boot.trim(), space, start: status?.start ?? '' };
}

export async function judgeLife(other: ProcessIdentity): Promise<Life> {
  const self = await identifySelf();
  if (other.host !== self.host) return 'elsewhere';
  if (other.boot !== self.boot) return 'dead';
  if (other.space !== self.space) return 'elsewhere';
  if (!isRunning(other.pid)) return 'dead';
  const status = await readStatus(other.pid);
  if (status === undefined) return 'alive';
  // A killed process stays in the table as a zombie until its parent asks for it; in containers that may be never.
  if (status.state === 'Z' || status.state === 'X') return 'dead';
  return other.start === '' || status.start === other.start ? 'alive' : 'dead';
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, under another user.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** State and start time from `/proc/PID/stat` (proc(5), fields 3 and 22); undefined where there is no such file. */
async function readStatus(pid: number): Promise<{ state: string; start: string } | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 2 is the program's name in parentheses and may hold blanks and parentheses itself.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, start: fields[19]! };
  } catch {
    return undefined;
  }
}
