import { join } from 'node:path';
import type { ArtifactStore } from '../../../artifacts/index.js';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import type { Project } from '../../../plugin/api.js';
import { clusterName } from '../../cluster-options.js';
import type { TrainOptions } from '../config.js';
import { sizeOf, type Distributed } from '../distributed/config.js';

/** A training that a cluster is to do. */
export interface Job {
  /** In the cluster: the same for the same training. */
  readonly name: string;
  /** Cache key of the training. */
  readonly key: string;
  /** The project's. */
  readonly root: string;
  /** Takes what describes the job and what it reports. */
  readonly folder: string;
  /** Arguments of maas in the job. */
  readonly args: readonly string[];
  /** Processes that train together; undefined for one that has no need of MPI. */
  readonly ranks: number | undefined;
  readonly launcher: Distributed['launcher'];
  /** How often ranks may be lost. */
  readonly restarts: number;
  readonly threads: number;
}

export interface JobOrder {
  readonly project: Project;
  readonly store: Pick<ArtifactStore, 'root'>;
  readonly key: string;
  /** What the command line changes in the config. */
  readonly set: readonly string[];
}

/** @throws MaasError MAAS_CONFIG_INVALID when the config names hosts, which are the cluster's to choose. */
export function planJob({ project, store, key, set }: JobOrder): Job {
  const { distributed, threads } = project.config['train'] as TrainOptions;
  for (const name of ['hosts', 'hostfile'] as const) {
    if (distributed?.[name] === undefined) continue;
    throw new MaasError(
      'MAAS_CONFIG_INVALID',
      'the hosts of a submitted training are the cluster’s to choose',
      {
        place: placeIn(project, ['train', 'distributed', name]),
        hint: `Write distributed: { processes: ${sizeOf(distributed)} } instead of ${name}.`,
      },
    );
  }
  const short = key.slice(0, 12);
  return {
    name: `maas-${clusterName(project.name).slice(0, 30) || 'train'}-${short}`,
    key,
    root: project.root,
    folder: join(store.root, 'jobs', short),
    args: [
      ...['train', '--config', project.configFile.slice(project.root.length).replace(/^[/\\]/, '')],
      ...set.flatMap((setting) => ['--set', setting]),
      ...['--expect-key', key, '--events'],
    ],
    ranks: distributed && sizeOf(distributed),
    launcher: distributed?.launcher ?? 'mpi',
    restarts: distributed?.restarts ?? 0,
    threads,
  };
}

/**
 * Processes of each of so many machines.
 * @throws MaasError MAAS_CONFIG_INVALID when some would have more than others.
 */
export function shareOut(
  { ranks = 1 }: Pick<Job, 'ranks'>,
  machines: number,
  project: Project,
  path: readonly string[],
): number {
  if (ranks % machines === 0) return ranks / machines;
  const what =
    ranks === 1 ? 'one process does not need' : `${ranks} processes cannot be shared out evenly to`;
  throw new MaasError('MAAS_CONFIG_INVALID', `${what} ${machines} machines`, {
    place: placeIn(project, path),
    hint: `Set train.distributed.processes to a multiple of ${machines}.`,
  });
}
