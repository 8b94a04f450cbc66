import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import { ownFile } from '../../../own-files.js';
import type { Project } from '../../../plugin/api.js';
import { mpiOf, type Distributed } from './config.js';
import { launchLine, type Crew } from './launchers.js';

/** What a process finds on its host. */
export interface Probe {
  readonly node: string;
  readonly arch: string;
  readonly maas: string;
  readonly onnxruntime: string;
  /** Version of MPI's library. */
  readonly mpi?: string;
  /** Processes of its world. */
  readonly size?: number;
  /** Why MPI cannot be used there. */
  readonly error?: string;
}

/** Stands before the line of a probe: launchers put words of their own beside it. */
export const mark = 'maas-probe:';

/** Milliseconds that a host has to answer. */
const patience = 15_000;

interface Place {
  /** The project's folder. */
  readonly root: string;
  readonly signal: AbortSignal;
}

/** Those of `hosts` where a process can be started, by the way that the launcher takes. */
export async function reachable(
  hosts: readonly string[],
  distributed: Distributed,
  place: Place,
): Promise<string[]> {
  const answers = await Promise.all(
    hosts.map(async (host) => {
      const { ok } = await launch(distributed, { hosts: [host], size: 1 }, ['hostname'], place);
      return ok;
    }),
  );
  return hosts.filter((_, at) => answers[at]);
}

/** What one process of a crew finds; or the launcher's own words when there is no answer. */
export async function probe(distributed: Distributed, crew: Crew, place: Place): Promise<Probe | string> {
  const words = [process.execPath, scriptOf('probe'), mpiOf(distributed)];
  const { output } = await launch(distributed, crew, words, place);
  const text = new RegExp(`${mark}(\\{.*\\})`).exec(output)?.[1];
  if (text !== undefined) return JSON.parse(text) as Probe;
  return (
    output
      .split('\n')
      .map((line) => line.trim())
      .find((line) => /[a-z]{3}/i.test(line)) ?? `no answer within ${patience / 1000} s`
  );
}

async function launch(distributed: Distributed, crew: Crew, words: readonly string[], place: Place) {
  const [program, ...args] = launchLine(distributed, crew, words);
  const result = await execa(program!, args, {
    cwd: place.root,
    reject: false,
    all: true,
    timeout: patience,
    forceKillAfterDelay: 1000,
    cancelSignal: place.signal,
  });
  return { ok: result.exitCode === 0, output: result.all };
}

/**
 * The hosts that a config names, without their slots.
 * @throws MaasError MAAS_CONFIG_INVALID when the hostfile cannot be read, or has a line that names no host.
 */
export async function hostsOf({ hosts, hostfile }: Distributed, project: Project): Promise<string[]> {
  if (hosts) return hosts.map((host) => host.split(':')[0]!);
  if (hostfile === undefined) return [];
  const file = resolve(project.root, hostfile);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new MaasError('MAAS_CONFIG_INVALID', `the hostfile ${hostfile} cannot be read: ${code}`, {
      place: placeIn(project, ['train', 'distributed', 'hostfile']),
      cause,
    });
  }
  const found = text.split('\n').map((line, at) => nameIn(line, { file, line: at + 1 }));
  return found.filter((name) => name !== '');
}

/** `NAME slots=4` of Open MPI, `NAME:4` of MPICH; both may have more words of that kind. */
function nameIn(line: string, place: { readonly file: string; readonly line: number }): string {
  const text = line.replace(/#.*/, '').trim();
  const [, name] = /^(\w[\w.-]*)(?::\d+)?(?:\s+\w+=\S+)*$/.exec(text) ?? [];
  if (text === '' || name !== undefined) return name ?? '';
  throw new MaasError('MAAS_CONFIG_INVALID', `the line names no host: ${JSON.stringify(text.slice(0, 60))}`, {
    place,
    hint: 'Write NAME slots=4, for MPICH NAME:4.',
  });
}

export function scriptOf(name: 'rank' | 'probe'): string {
  return fileURLToPath(ownFile(`dist/stages/train/distributed/${name}.js`));
}
