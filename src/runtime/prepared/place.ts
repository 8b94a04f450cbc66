import { hash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describeCpu } from '../cpu.js';
import { runtimeVersion } from '../version.js';

/** Files that a prepared model is made of: `facts.json`, `model.onnx` and its weights. */
export const fileNames = { facts: 'facts.json', model: 'model.onnx', weights: 'model.onnx.data' } as const;

/** What a file held: as good as certain where these are the same. */
export interface Contents {
  readonly size: number;
  readonly modified: number;
  readonly changed: number;
}

/** A file as it was. */
export interface FileState extends Contents {
  readonly path: string;
}

export interface Facts {
  /** The model that it was made of, and its external data. */
  readonly sources: readonly FileState[];
  /** What it is made of. */
  readonly weights?: Contents;
  /** Why it could not be made. */
  readonly refused?: string;
}

export interface Found {
  /** Path of what was prepared of the model as it is now. Undefined where there is none, or it is not whole. */
  readonly path?: string;
  /** It is of no use to try. */
  readonly refused?: true;
}

/** A folder of what was prepared for this processor and this runtime, and for the model at a path. */
export async function placeOf(cache: string, path: string): Promise<string> {
  const key = JSON.stringify([1, path, await describeCpu(), runtimeVersion()]);
  return join(cache, 'prepared', hash('sha256', key).slice(0, 32));
}

export async function stateOf(path: string): Promise<FileState> {
  return { path, ...(await contentsOf(path)) };
}

/** Of a file that will lie elsewhere. */
export async function contentsOf(path: string): Promise<Contents> {
  const { size, mtimeMs, ctimeMs } = await stat(path);
  return { size, modified: mtimeMs, changed: ctimeMs };
}

/** Looks for what was prepared of the model at `model`. One that a process died of is refused from then on. */
export async function findPrepared(place: string, model: string): Promise<Found> {
  try {
    const facts = JSON.parse(await readFile(join(place, fileNames.facts), 'utf8')) as Facts;
    const states = await Promise.all(facts.sources.map(({ path }) => stateOf(path)));
    if (!isDeepStrictEqual(states, facts.sources)) return {};
    if (facts.refused !== undefined) return { refused: true };
    if (!isDeepStrictEqual(await contentsOf(join(place, fileNames.weights)), facts.weights)) return {};
    if (await hasKilled(place)) {
      await refuse(place, model, 'a process died while it opened it');
      return { refused: true };
    }
    // Tells what is in use from what nobody asks for any more.
    const now = new Date();
    // Others' folder, or one that nobody may write to, is as good to read.
    await utimes(place, now, now).catch(() => undefined);
    return { path: join(place, fileNames.model) };
  } catch {
    return {};
  }
}

/** Spares the next start the same try. */
export async function refuse(place: string, model: string, refused: string): Promise<void> {
  const facts: Facts = { sources: [await stateOf(model)], refused };
  await rm(place, { recursive: true, force: true });
  await mkdir(place, { recursive: true });
  await writeFile(join(place, fileNames.facts), JSON.stringify(facts));
}

/** Name of a file that is there while a process opens what was prepared for the first time. */
export const trialOf = (place: string, pid = process.pid): string => join(place, `opened-by-${pid}`);

async function hasKilled(place: string): Promise<boolean> {
  for (const name of await readdir(place)) {
    const pid = Number(/^opened-by-(\d+)$/.exec(name)?.[1]);
    if (Number.isNaN(pid)) continue;
    // In a container that starts again each process has the number of the one before it.
    const isGone =
      pid === process.pid ? (await stat(join(place, name))).mtimeMs < performance.timeOrigin : !isAlive(pid);
    if (isGone) return true;
  }
  return false;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
