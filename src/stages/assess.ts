import {
  damageOf,
  digestOf,
  type Artifact,
  type ArtifactStore,
  type Json,
  type StageRecord,
} from '../artifacts/index.js';
import type { ProgressEvent } from '../plugin/events.js';
import type { Project, Registry, Stage, StageContext } from '../plugin/api.js';
import { allParts, explainChanges, knownParts, shorten, type Parts } from './cache-key.js';
import { openInputs } from './inputs.js';

/** What a run of stages works with. */
export interface RunnerContext {
  readonly project: Project;
  readonly registry: Registry;
  readonly store: ArtifactStore;
  readonly world?: StageContext['world'];
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
}

/** A stage held against what is on disk. */
export interface Assessment {
  readonly context: StageContext;
  /** What the stage itself says can change the result. */
  readonly stated: Readonly<Record<string, Json>>;
  readonly parts: Parts;
  readonly key: string;
  /** The stage's pointer, whatever its key. */
  readonly current: StageRecord | undefined;
  /** A whole artifact made under this very key, and its record. */
  readonly hit: { readonly record: StageRecord; readonly artifact: Artifact } | undefined;
  /** True when the stage's effect is in place or it has none; undefined without a hit. */
  readonly inPlace: boolean | undefined;
  /** What is broken in the stage's own records or artifact; running the stage mends it. */
  readonly damage: string | undefined;
  /** Why the stage has to run, or why it need not. Never empty. */
  readonly why: readonly string[];
}

/**
 * Finds out whether a stage has to run. Reads only.
 * @param settled Artifacts that this run has made or checked already, by stage; inputs are taken from here first.
 * @throws MaasError MAAS_STAGE_MISSING, MAAS_ARTIFACT_CORRUPT about what the stage reads, and what the stage's key throws.
 */
export async function assessStage(
  { project, registry, store, world, signal, emit }: RunnerContext,
  stage: Stage,
  settled: Map<string, Artifact>,
): Promise<Assessment> {
  const inputs = await openInputs({ project, registry, store }, stage, settled);
  const options = project.config[stage.name];
  const context: StageContext = {
    project,
    options,
    registry,
    store,
    inputs,
    ...(world && { world }),
    signal,
    emit,
  };
  const stated = (await stage.key?.(context)) ?? {};
  const parts = allParts(stage, knownParts(project, stage, inputs), stated);
  const key = digestOf(parts);

  const pointer = await orDamage(store.current(stage.name));
  const record = pointer.found?.key === key ? pointer.found : await store.cached(stage.name, key);
  const opened = record && (await orDamage(store.open(stage.name, record.digest)));
  const hit = record && opened?.found ? { record, artifact: opened.found } : undefined;
  const inPlace = hit && (stage.effect === undefined || (await stage.effect.inPlace(context, hit.artifact)));
  const damage = opened?.damage ?? pointer.damage;
  return {
    context,
    stated,
    parts,
    key,
    current: pointer.found,
    hit,
    inPlace,
    damage,
    why: explain({ current: pointer.found, record, hit, inPlace, damage, parts }),
  };
}

function explain(
  state: Pick<Assessment, 'current' | 'hit' | 'inPlace' | 'damage' | 'parts'> & {
    record: StageRecord | undefined;
  },
): string[] {
  const { current, record, hit, inPlace, damage, parts } = state;
  if (hit !== undefined) {
    if (inPlace === false) return [`${shorten(hit.artifact.digest)} is made, but not in place`];
    return current?.key === hit.record.key
      ? ['nothing changed']
      : [`made before, at ${hit.record.finishedAt}`];
  }
  if (damage !== undefined) return [damage];
  if (current === undefined || record !== undefined) return ['never ran'];
  return explainChanges(current.parts, parts);
}

/** A damaged thing of the stage's own is a reason to run it, not to fail. */
async function orDamage<T>(reading: Promise<T>): Promise<{ found?: T; damage?: string }> {
  try {
    return { found: await reading };
  } catch (error) {
    if (damageOf(error) === undefined) throw error;
    return { damage: (error as Error).message };
  }
}
