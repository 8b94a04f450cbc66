import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStore } from '../../../artifacts/index.js';
import { makeFolder, onDisk, replaceFile } from '../../../artifacts/durable.js';
import { placeIn } from '../../../config/index.js';
import { catalogue, MaasError, type ErrorCode } from '../../../errors.js';
import type { StageContext, TrainProgress } from '../../../plugin/api.js';
import type { ProgressEvent } from '../../../plugin/events.js';
import type { TrainOptions } from '../config.js';
import type { Cluster, Found } from './cluster.js';
import { planJob, type Job } from './job.js';
import { Kubernetes } from './kubernetes.js';
import { slurmSchema } from './config.js';
import { Slurm } from './slurm.js';

/** Names of `train.submit`. */
export const clusters = ['slurm', 'kubernetes'] as const;

export interface SubmissionOrder extends Pick<StageContext, 'project' | 'store' | 'signal' | 'emit'> {
  readonly cluster: (typeof clusters)[number];
  /** Cache key of the training. */
  readonly key: string;
  /** What the command line changes in the config. */
  readonly set: readonly string[];
}

/** Milliseconds between two looks at a job, and those that a cluster may be silent. */
const interval = 2000;
const patience = 300_000;

/** A training on its way to a cluster and back. */
export class Submission {
  readonly job: Job;
  readonly cluster: Cluster;

  /** @throws MaasError MAAS_CONFIG_INVALID when the config does not fit the cluster, or lacks what it needs. */
  constructor(private readonly order: SubmissionOrder) {
    const { project, signal, cluster } = order;
    this.job = planJob(order);
    const { submit } = project.config['train'] as TrainOptions;
    if (cluster === 'slurm') {
      this.cluster = new Slurm(this.job, submit?.slurm ?? slurmSchema.parse({}), project, signal);
      return;
    }
    if (!submit?.kubernetes) {
      throw new MaasError('MAAS_CONFIG_INVALID', 'there is no train.submit.kubernetes', {
        place: placeIn(project, ['train', 'submit']),
        hint: 'Write train: { submit: { kubernetes: { image: …, claim: … } } }.',
      });
    }
    this.cluster = new Kubernetes(this.job, submit.kubernetes, project, signal);
  }

  /** What describes the job. */
  get file(): string {
    return join(this.job.folder, this.cluster.file.name);
  }

  /** How a person hands the job in. */
  get words(): string {
    return this.cluster.words.submit(this.file);
  }

  async write(): Promise<void> {
    const { folder } = this.job;
    await onDisk(`cannot write ${this.file}`, async () => {
      await makeFolder(folder, dirname(folder));
      await replaceFile(this.file, this.cluster.file.text, folder);
    });
  }

  /** Hands the job in, unless it is there already. Of two that do this at a time one is refused. */
  async submit(): Promise<Found & { readonly isNew: boolean }> {
    // The store's own lock is for the job.
    const unlock = await openStore(dirname(this.job.folder)).lock(`train --submit ${this.order.cluster}`);
    try {
      const there = await this.cluster.find();
      if (there && !there.end) return { ...there, isNew: false };
      const id = await this.cluster.submit(this.file);
      return { id, detail: 'submitted', isNew: true };
    } finally {
      await unlock();
    }
  }

  /**
   * Watches the job to its end.
   * @throws MaasError MAAS_JOB_FAILED when it fails, or what maas itself says in the job; MAAS_INTERRUPTED when the signal
   * stops the watching: the job goes on.
   */
  async follow(
    id: string,
    onProgress: (progress: TrainProgress | undefined, found: Found) => void,
  ): Promise<void> {
    const { signal, emit } = this.order;
    let heard = performance.now();
    let last: string | undefined;
    for (;;) {
      let found: Found | undefined;
      let lines: readonly string[] = [];
      try {
        found = await this.cluster.find(id);
        lines = await this.cluster.tail();
        heard = performance.now();
      } catch (error) {
        if (signal.aborted) throw this.leave(id);
        if (!isSilence(error) || performance.now() - heard > patience) throw error;
      }
      const events = lines.flatMap(readEvent);
      if (found?.end === 'well') return;
      if (found?.end === 'badly') throw this.failed(found, events);
      const progress = events.findLast((event) => event.event === 'train-progress');
      if (found) onProgress(progress, found);
      if (progress && JSON.stringify(progress) !== last) emit(progress);
      last = JSON.stringify(progress);
      await sleep(interval, undefined, { signal }).catch(() => {
        throw this.leave(id);
      });
    }
  }

  /**
   * Has the artifact in the store here, as if it had been trained here.
   * @throws MaasError MAAS_ARTIFACT_CORRUPT when what came is not what was trained, MAAS_JOB_FAILED when nothing came.
   */
  async bring(): Promise<void> {
    if (!this.cluster.fetch) return;
    const { store } = this.order;
    const { folder, key } = this.job;
    const copy = await mkdtemp(join(folder, 'copy-'));
    try {
      await this.cluster.fetch(copy);
      const theirs = openStore(copy);
      const record = await theirs.cached('train', key);
      if (record?.key !== key) {
        throw new MaasError('MAAS_JOB_FAILED', 'the job has left no record of this training');
      }
      const { manifest, path } = await theirs.open('train', record.digest);
      const unlock = await store.lock('train --submit');
      try {
        const staging = await store.stage('train');
        for (const name of Object.keys(manifest.files)) {
          await mkdir(dirname(join(staging.path, name)), { recursive: true });
          await cp(join(path, name), join(staging.path, name));
        }
        await staging.commit(manifest);
        await store.record(record);
      } finally {
        await unlock();
      }
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  }

  private leave(id: string): MaasError {
    const { cluster } = this.order;
    return new MaasError('MAAS_INTERRUPTED', `the job ${id} of ${this.cluster.title} goes on by itself`, {
      hint: `\`maas train --submit ${cluster} --apply\` follows it again; \`${this.cluster.words.cancel(id)}\` ends it.`,
      details: { job: id },
    });
  }

  private failed({ id, detail }: Found, events: readonly Event[]): MaasError {
    const error = events.findLast((event) => event.event === 'result')?.error;
    const what = `the job ${id} of ${this.cluster.title} failed (${detail})`;
    const details = { job: id };
    if (error && isCode(error.code)) {
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      return new MaasError(error.code, `${error.message} (said by the job ${id})`, { ...hint, details });
    }
    return new MaasError('MAAS_JOB_FAILED', error ? `${what}: ${error.message}` : what, {
      hint: `What it printed: ${this.cluster.log}`,
      details,
    });
  }
}

/** What maas prints with --events, as far as it is looked at here. */
type Event =
  | Extract<ProgressEvent, { event: 'train-progress' }>
  | {
      readonly event: 'result';
      readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
    };

/** Lines of the job that are no events, and the first when it is cut, are nothing. */
function readEvent(line: string): Event[] {
  if (!line.startsWith('{')) return [];
  try {
    return [JSON.parse(line) as Event];
  } catch {
    return [];
  }
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(catalogue, code);
}

function isSilence(error: unknown): boolean {
  return error instanceof MaasError && error.code === 'MAAS_PROGRAM';
}
