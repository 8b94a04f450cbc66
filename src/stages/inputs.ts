import type { Artifact, ArtifactStore } from '../artifacts/index.js';
import { MaasError } from '../errors.js';
import type { Kind, Project, Registry, Stage } from '../plugin/api.js';
import { explainChanges, knownParts, shorten } from './cache-key.js';

/** The stages whose section is in the config, in pipeline order. */
export function enabledStages(project: Project, registry: Registry): string[] {
  return registry.stages.map(({ name }) => name).filter((name) => isEnabled(project, name));
}

/** Looks a stage up by name. @throws MaasError MAAS_USAGE when there is none, or the config has no section for it. */
export function findStage(project: Project, registry: Registry, name: string): Stage {
  const stage = registry.stages.find((candidate) => candidate.name === name);
  if (stage === undefined) {
    throw new MaasError('MAAS_USAGE', `there is no stage ${name}`, {
      hint: `The stages are ${registry.stages.map((known) => known.name).join(', ')}.`,
    });
  }
  if (!isEnabled(project, name)) {
    throw new MaasError('MAAS_USAGE', `the config has no ${name} section`, {
      place: { file: project.configFile },
      hint: `Add \`${name}:\` to the config, or leave the stage out.`,
    });
  }
  return stage;
}

/** The stage whose artifact `stage` reads for `kind`: the last enabled one before it that writes this kind. */
export function findProducer(project: Project, registry: Registry, stage: Stage, kind: Kind): Stage {
  const before = registry.stages.slice(0, registry.stages.indexOf(stage));
  const producer = before.findLast(({ name, writes }) => writes === kind && isEnabled(project, name));
  if (producer !== undefined) return producer;
  throw new MaasError(
    'MAAS_STAGE_MISSING',
    `${stage.name} reads a ${kind}, and no stage before it writes one`,
    {
      place: { file: project.configFile },
      hint: `Add a stage to the config that writes a ${kind} before ${stage.name}.`,
    },
  );
}

/**
 * Opens what a stage reads.
 * @param settled Artifacts that this run has made or checked already, by stage.
 * @throws MaasError MAAS_STAGE_MISSING when an earlier stage has not run, MAAS_ARTIFACT_CORRUPT when its artifact is
 * damaged.
 */
export async function openInputs(
  { project, registry, store }: { project: Project; registry: Registry; store: ArtifactStore },
  stage: Stage,
  settled: Map<string, Artifact>,
): Promise<Partial<Record<Kind, Artifact>>> {
  const inputs: Partial<Record<Kind, Artifact>> = {};
  for (const kind of stage.reads) {
    const producer = findProducer(project, registry, stage, kind).name;
    let artifact = settled.get(producer);
    if (artifact === undefined) {
      const record = await store.current(producer);
      if (record === undefined) {
        throw new MaasError(
          'MAAS_STAGE_MISSING',
          `${stage.name} needs the ${kind} of ${producer}, which has not run`,
          {
            hint: `Run \`maas ${producer}\` first, or \`maas run\` for everything.`,
          },
        );
      }
      artifact = await store.open(producer, record.digest);
      settled.set(producer, artifact);
    }
    inputs[kind] = artifact;
  }
  return inputs;
}

/**
 * The model that a stage has made last; without a name, the last stage that makes one.
 * @throws MaasError MAAS_USAGE, MAAS_STAGE_MISSING when it has not run, MAAS_ARTIFACT_CORRUPT.
 */
export async function openModel(
  { project, registry, store }: { project: Project; registry: Registry; store: ArtifactStore },
  name?: string,
): Promise<Artifact> {
  const makers = registry.stages.filter(
    (stage) => stage.writes === 'model' && isEnabled(project, stage.name),
  );
  const stage = name === undefined ? makers.at(-1) : findStage(project, registry, name);
  if (!stage || !makers.includes(stage)) {
    throw new MaasError(
      'MAAS_USAGE',
      `${name ?? 'no stage of the config'} makes ${name === undefined ? 'a' : 'no'} model`,
      {
        place: { file: project.configFile },
        hint:
          makers.length > 0
            ? `Models come from ${makers.map((maker) => maker.name).join(', ')}.`
            : 'Add `train:`.',
      },
    );
  }
  const record = await store.current(stage.name);
  if (record) return store.open(stage.name, record.digest);
  throw new MaasError('MAAS_STAGE_MISSING', `${stage.name} has not run: there is no model of it`, {
    hint: `Run \`maas ${stage.name}\` first, or name an earlier stage with --stage.`,
  });
}

/**
 * Warnings about what a stage reads when the stages before it are not run along: made from something older than what
 * is there now, or under another config.
 */
export async function describeStaleInputs(
  { project, registry, store }: { project: Project; registry: Registry; store: ArtifactStore },
  stage: Stage,
  chosen: readonly string[],
): Promise<string[]> {
  const warnings: string[] = [];
  for (const kind of stage.reads) {
    const producer = findProducer(project, registry, stage, kind);
    const record = await store.current(producer.name);
    if (chosen.includes(producer.name) || record === undefined) continue;
    const sources: Partial<Record<Kind, { digest: string }>> = {};
    for (const source of producer.reads) {
      const { name } = findProducer(project, registry, producer, source);
      const digest = (await store.current(name))?.digest;
      if (digest !== undefined) sources[source] = { digest };
    }
    const known = knownParts(project, producer, sources);
    const then = Object.fromEntries(Object.entries(record.parts).filter(([name]) => isKnown(name, known)));
    const changes = explainChanges(then, known);
    warnings.push(...(await describeStaleInputs({ project, registry, store }, producer, chosen)));
    if (changes.length > 0) {
      warnings.push(
        `the ${kind} ${shorten(record.digest)} of ${producer.name} is out of date and used as it is: ` +
          `${changes.join('; ')} (\`maas ${producer.name}\` renews it)`,
      );
    }
  }
  return warnings;
}

/** Parts that a stage states itself (data digests) are not compared: telling them again may cost what the stage costs. */
function isKnown(name: string, known: object): boolean {
  return /^(options|input)([.[]|$)/.test(name) || Object.hasOwn(known, name);
}

function isEnabled(project: Project, name: string): boolean {
  return project.config[name] !== undefined && project.config[name] !== null;
}
