import { open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

/** A command that works for a stage, with all the processes that it starts. */
export interface Program {
  /** A command line of the shell. */
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** File that its output, and that of all its processes, is appended to. */
  readonly log: string;
  /** Time between asking it to stop and a kill. */
  readonly graceSeconds: number;
  /** It is ended when `lookedAt` files and the log have not changed for so long. */
  readonly silenceSeconds?: number | undefined;
  /** Files that show that it is alive, beside the log. */
  readonly alive?: readonly string[];
  readonly signal: AbortSignal;
  /** Called every now and then while it runs. */
  readonly onLook?: () => Promise<void> | void;
}

export interface Ending {
  /** As a shell has it: 128 and the signal's number for a process that a signal ended. */
  readonly code: number;
  readonly cause: 'exit' | 'stopped' | 'silent';
}

/** Milliseconds between two looks. */
const interval = 200;

/**
 * Runs in a session of its own, so that one signal reaches the whole group. The pipe at 3 is held by maas: should maas be
 * killed, it ends, and the group is told to stop, and killed after a grace. Its first process outlives a signal, to
 * answer with the code of the command.
 */
const guarded = `
trap : TERM INT HUP
{ trap '' TERM INT HUP; cat <&3 >/dev/null; kill -TERM 0; sleep "$2"; kill -KILL 0; } &
exec >>"$3" 2>&1
sh -c "$1" 3<&-
exit $?
`;

/**
 * Runs a program to its end; nothing of it is left when the promise resolves. When the signal aborts, all its processes
 * get SIGTERM, and SIGKILL when they are still there after the grace.
 */
export async function runProgram(program: Program): Promise<Ending> {
  const { command, cwd, env, log, graceSeconds, silenceSeconds, alive = [], signal, onLook } = program;
  const note = `${log}.pid`;
  await awaitFormer(note, graceSeconds, signal);
  const child = execa('sh', ['-c', guarded, 'maas', command, String(Math.ceil(graceSeconds)), log], {
    cwd,
    env,
    detached: true,
    cleanup: false,
    reject: false,
    buffer: false,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, name) => {
      resolve(code ?? 128 + constants.signals[name!]);
    });
  });
  // A rejection is for whoever awaits it below.
  exited.catch(() => undefined);
  const group = child.pid;
  if (group === undefined) return { code: await exited, cause: 'exit' };
  let code: number | undefined;
  let cause: Ending['cause'] = 'exit';
  let killAt = Infinity;
  let quietSince = performance.now();
  let seen = '';
  try {
    await writeFile(note, String(group));
    while (code === undefined) {
      code = await Promise.race([exited, sleep(interval, undefined)]);
      await onLook?.();
      if (code !== undefined) break;
      const now = performance.now();
      const signs = silenceSeconds === undefined ? '' : await lookAt([log, ...alive]);
      if (signs !== seen) [seen, quietSince] = [signs, now];
      if (now >= killAt) await killAll(group);
      if (killAt < Infinity) continue;
      if (signal.aborted) cause = 'stopped';
      else if (silenceSeconds !== undefined && now - quietSince > silenceSeconds * 1000) cause = 'silent';
      else continue;
      send(-group, 'SIGTERM');
      killAt = now + graceSeconds * 1000;
    }
    return { code, cause };
  } finally {
    // What it left running, the guard among it.
    await killAll(group);
    child.stdio[3]?.destroy();
    await rm(note, { force: true });
  }
}

/** A program whose maas was killed a moment ago may still be about to stop: two at a time would write the same files. */
async function awaitFormer(note: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
  const group = Number(await readFile(note, 'utf8').catch(() => ''));
  const until = performance.now() + (graceSeconds + 2) * 1000;
  while (group > 1 && isThere(-group) && performance.now() < until && !signal.aborted) await sleep(interval);
}

/** The last lines of a log, without what was in it before `from` (bytes). */
export async function readTail(log: string, from: number, lines: number): Promise<string[]> {
  const most = 16_384;
  const file = await open(log, 'r');
  try {
    const { size } = await file.stat();
    const start = Math.max(from, size - most);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(size - start, 0)), 0, null, start);
    const text = buffer.toString('utf8', 0, bytesRead).trimEnd();
    return text === '' ? [] : text.split('\n').slice(-lines);
  } finally {
    await file.close();
  }
}

async function lookAt(paths: readonly string[]): Promise<string> {
  const signs = paths.map((path) =>
    stat(path).then(
      ({ size, mtimeMs }) => `${size}@${mtimeMs}`,
      () => '',
    ),
  );
  return (await Promise.all(signs)).join();
}

/** Kills a group, and children of it that have made groups of their own, as torchrun's workers have. */
async function killAll(group: number): Promise<void> {
  const others = await descendantsOf(group);
  send(-group, 'SIGKILL');
  for (const pid of others) send(pid, 'SIGKILL');
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Processes that come from `pid`, where `/proc` tells (proc(5): stat, field 4). */
async function descendantsOf(pid: number): Promise<number[]> {
  const names = await readdir('/proc').catch(() => []);
  const parents = new Map<number, number>();
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    if (parent > 0) parents.set(Number(name), parent);
  }
  const found = [pid];
  for (const each of found) {
    for (const [child, parent] of parents) if (parent === each) found.push(child);
  }
  return found.slice(1);
}
