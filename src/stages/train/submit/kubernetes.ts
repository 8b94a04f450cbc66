import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import type { Project } from '../../../plugin/api.js';
import { asDocuments, Kubectl } from '../../kubectl.js';
import { quote } from '../distributed/launchers.js';
import type { Cluster, Found } from './cluster.js';
import type { KubernetesOptions } from './config.js';
import { shareOut, type Job } from './job.js';
import { describeCopier, describeTraining, folderIn, type Description } from './kubernetes-manifests.js';

/** Lines of the log that are looked at. */
const most = 40;

/** Seconds that the pod for copies lives, and that it may take to start. */
const copySeconds = 3600;
const startSeconds = 300;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

/** A Kubernetes cluster, through kubectl. The project lies on a claim that all pods share. */
export class Kubernetes implements Cluster {
  readonly title = 'Kubernetes';
  readonly file;
  readonly log;
  readonly words;
  private readonly description: Description;
  private readonly kubectl: Kubectl;

  constructor(
    private readonly job: Job,
    private readonly options: KubernetesOptions,
    project: Project,
    signal: AbortSignal,
  ) {
    const path = ['train', 'submit', 'kubernetes'];
    if (job.ranks !== undefined && job.launcher === 'mpich' && options.kind === 'TrainJob') {
      throw new MaasError('MAAS_CONFIG_INVALID', 'a TrainJob of Kubeflow Trainer knows Open MPI alone', {
        place: placeIn(project, [...path, 'kind']),
        hint: 'Write kind: MPIJob, or launcher: mpi in train.distributed.',
      });
    }
    this.description = describeTraining(
      job,
      options,
      shareOut(job, options.workers, project, [...path, 'workers']),
    );
    this.kubectl = new Kubectl(project, options, signal);
    this.file = { name: 'train.yaml', text: asDocuments(this.description.manifests) };
    const told = (words: readonly string[]) => quote(['kubectl', ...this.kubectl.flags, ...words]);
    this.log = told(['logs', `job/${this.description.launcher}`]);
    this.words = {
      submit: (file: string) => told(['apply', '--filename', file]),
      cancel: (id: string) => told(['delete', this.description.kind, id]),
    };
  }

  async find(id?: string): Promise<Found | undefined> {
    const { kind } = this.description;
    const { name } = this.job;
    const object = await this.kubectl.get<{ status?: { conditions?: readonly Condition[] } }>(kind, name);
    if (!object) {
      return id === undefined ? undefined : { id, end: 'badly', detail: 'it was deleted' };
    }
    const conditions = (object.status?.conditions ?? []).filter(({ status }) => status === 'True');
    const having = (...types: string[]) => conditions.find(({ type }) => types.includes(type));
    const good = having('Succeeded', 'Complete');
    const bad = having('Failed');
    const end = good ?? bad;
    if (end) {
      const detail = [end.reason, end.message].filter(Boolean).join(': ') || end.type;
      return { id: name, end: bad ? 'badly' : 'well', detail };
    }
    return { id: name, detail: conditions.at(-1)?.type ?? 'Created' };
  }

  async submit(): Promise<string> {
    const { manifests, kind } = this.description;
    // A job that has ended cannot be started again, and its name is taken.
    await this.kubectl.remove(kind, this.job.name);
    await this.kubectl.apply(manifests);
    return this.job.name;
  }

  async tail(): Promise<readonly string[]> {
    const text = await this.kubectl.logs(`job/${this.description.launcher}`, most);
    return text.split('\n');
  }

  async fetch(into: string): Promise<void> {
    const pod = describeCopier(this.job, this.options, copySeconds);
    const name = pod.metadata!.name!;
    const { key } = this.job;
    const copy = async (path: string): Promise<string> => {
      const target = join(into, path);
      await mkdir(dirname(target), { recursive: true });
      await this.kubectl.copy(name, `${folderIn(this.options)}/.maas/${path}`, target);
      return target;
    };
    await this.kubectl.apply([pod]);
    try {
      await this.kubectl.waitFor(['wait', '--for=condition=Ready', `pod/${name}`], startSeconds);
      const record = await copy(`cache/train/${key}.json`);
      const { digest } = JSON.parse(await readFile(record, 'utf8')) as { digest: string };
      await copy(`artifacts/train/${digest}`);
    } finally {
      await this.kubectl.remove('pod', name);
    }
  }
}
