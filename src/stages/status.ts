import type { Artifact, Json } from '../artifacts/index.js';
import { MaasError } from '../errors.js';
import { assessStage, type RunnerContext } from './assess.js';
import { enabledStages, findProducer, findStage } from './inputs.js';

/** Where a stage stands. */
export interface StageStatus {
  readonly stage: string;
  /** `stale`: it would run now. `corrupt`: its record or artifact is damaged. */
  readonly state: 'never' | 'fresh' | 'stale' | 'corrupt';
  readonly digest?: string;
  /** Path of the artifact. */
  readonly artifact?: string;
  readonly metrics: Readonly<Record<string, Json>>;
  readonly measured: Readonly<Record<string, Json>>;
  /** ISO 8601. */
  readonly finishedAt?: string;
  readonly why: readonly string[];
}

/** Tells of every stage in the config where it stands. Changes nothing, and takes no lock. */
export async function readStatus(context: RunnerContext): Promise<StageStatus[]> {
  const statuses: StageStatus[] = [];
  const settled = new Map<string, Artifact>();
  for (const name of enabledStages(context.project, context.registry)) {
    statuses.push(await readStageStatus(context, name, statuses, settled));
  }
  return statuses;
}

async function readStageStatus(
  context: RunnerContext,
  name: string,
  before: readonly StageStatus[],
  settled: Map<string, Artifact>,
): Promise<StageStatus> {
  const { project, registry, store } = context;
  const nothing = { stage: name, metrics: {}, measured: {} };
  let record;
  let own: Artifact | undefined;
  try {
    record = await store.current(name);
    if (record === undefined) return { ...nothing, state: 'never', why: ['never ran'] };
    own = await store.open(name, record.digest);
  } catch (error) {
    if (!(error instanceof MaasError)) throw error;
    return { ...nothing, state: 'corrupt', ...(record && { digest: record.digest }), why: [error.message] };
  }
  const facts = {
    stage: name,
    digest: record.digest,
    artifact: own.path,
    metrics: own.manifest.metrics,
    measured: record.measured,
    finishedAt: record.finishedAt,
  };
  try {
    const stage = findStage(project, registry, name);
    const source = stage.reads
      .map((kind) => findProducer(project, registry, stage, kind).name)
      .map((producer) => before.find((status) => status.stage === producer))
      .find((status) => status !== undefined && status.state !== 'fresh');
    if (source) {
      const state = { never: 'has not run', stale: 'is stale', corrupt: 'is corrupt', fresh: '' }[
        source.state
      ];
      return { ...facts, state: 'stale', why: [`${source.stage} ${state}`] };
    }
    const { current, hit, inPlace, why } = await assessStage(context, stage, settled);
    const isFresh = inPlace === true && hit?.record.key === current?.key;
    return { ...facts, state: isFresh ? 'fresh' : 'stale', why };
  } catch (error) {
    // Its data may be gone, say: what the stage made is still there, and it can be told why it is not known fresh.
    if (!(error instanceof MaasError)) throw error;
    return { ...facts, state: 'stale', why: [error.message] };
  }
}
