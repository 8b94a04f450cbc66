import { open, readFile } from 'node:fs/promises';
import type { ReleaseRecord } from '../../../../plugin/api.js';

/** One line of `history.jsonl`, written and fsynced before the link is moved. */
export interface Switch {
  /** ISO 8601. */
  readonly at: string;
  /** user@host. */
  readonly by: string;
  readonly action: 'deploy' | 'rollback';
  readonly from: string | null;
  readonly to: string;
}

/** What the journal and the link tell together. */
export interface History {
  /** Releases that were current one after the other, without those that were rolled back; the current one is last. */
  readonly stack: readonly string[];
  /** ISO 8601, when each release was last switched to; in the order in which that happened. */
  readonly deployedAt: ReadonlyMap<string, string>;
}

/**
 * Adds a switch to the journal. Lines are only ever appended, each in one write and starting with a line break: a
 * line that a kill tore apart spoils neither the ones before nor the ones after it.
 */
export async function appendSwitch(file: string, entry: Switch): Promise<void> {
  const handle = await open(file, 'a', 0o644);
  try {
    await handle.appendFile(`\n${JSON.stringify(entry)}`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Reads the journal. A line counts only when its switch came about, since a kill may come between the line and
 * the switch: either the next switch starts from it, or it is the last line and the link says so.
 *
 * @param current Digest that the link points to; `switchedAt` is the link's own time (ISO 8601).
 */
export async function readHistory(file: string, current?: string, switchedAt?: string): Promise<History> {
  return tellHistory(await readText(file), current, switchedAt);
}

/** The same from a journal's text, wherever it was kept. */
export function tellHistory(text: string, current?: string, switchedAt?: string): History {
  const lines = text.split('\n').flatMap((line) => {
    const entry = parse(line);
    return typeof entry?.to === 'string' ? [entry] : [];
  });
  const stack: string[] = [];
  const deployedAt = new Map<string, string>();
  lines.forEach((line, index) => {
    const next = lines[index + 1];
    if (line.to !== (next ? next.from : current)) return;
    // Where a switch started from was current, even when no line tells of it.
    if (line.from !== null && stack.at(-1) !== line.from) stack.push(line.from);
    apply(stack, line);
    deployedAt.delete(line.to);
    deployedAt.set(line.to, line.at);
  });
  if (current !== undefined && stack.at(-1) !== current) {
    // Somebody moved the link by hand, or the journal is lost.
    stack.push(current);
    deployedAt.delete(current);
    if (switchedAt !== undefined) deployedAt.set(current, switchedAt);
  }
  return { stack, deployedAt };
}

/** Earlier releases to go back to: the last one first, each once, without the current one. */
export function earlierReleases({ stack }: History): string[] {
  const current = stack.at(-1);
  return [...new Set(stack.slice(0, -1).reverse())].filter((digest) => digest !== current);
}

/** The current release, then the others by when they were last switched to, newest first, those that never were last. */
export function orderReleases(digests: readonly string[], history: History): ReleaseRecord[] {
  const current = history.stack.at(-1);
  const order = [...history.deployedAt.keys()];
  const rank = (digest: string): number => (digest === current ? Infinity : order.indexOf(digest));
  return digests
    .toSorted((a, b) => Math.sign(rank(b) - rank(a)) || (a < b ? -1 : 1))
    .map((digest) => ({
      digest,
      current: digest === current,
      deployedAt: history.deployedAt.get(digest),
    }));
}

function apply(stack: string[], { action, to }: Switch): void {
  const known = stack.lastIndexOf(to);
  if (action === 'rollback' && known >= 0) stack.length = known + 1;
  else if (stack.at(-1) !== to) stack.push(to);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function parse(line: string): Switch | undefined {
  try {
    return JSON.parse(line) as Switch;
  } catch {
    return undefined;
  }
}
