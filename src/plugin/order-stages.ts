import { MaasError } from '../errors.js';
import type { Stage } from './api.js';

export interface OwnedStage {
  readonly stage: Stage;
  readonly plugin: string;
}

/**
 * Stages in pipeline order: each behind the one it names in `after`. What the first plugin (the built-ins) registered
 * is the main line; a stage that another plugin puts after `train` comes between `train` and whatever follows it in the
 * main line. Otherwise the order of registration stands.
 * @param absent Stages that others may follow although they are not there.
 *
 * @throws MaasError MAAS_PLUGIN_FAILED when a stage follows one that there is not, or itself.
 */
export function orderStages(stages: readonly OwnedStage[], absent: readonly string[] = []): Stage[] {
  const known = new Set([...stages.map(({ stage }) => stage.name), ...absent]);
  for (const { stage, plugin } of stages) {
    if (stage.after !== undefined && !known.has(stage.after)) {
      throw new MaasError(
        'MAAS_PLUGIN_FAILED',
        `${plugin}: stage "${stage.name}" follows "${stage.after}", but there is no such stage`,
        { hint: `Stages: ${[...known].join(', ')}.` },
      );
    }
  }
  const mainLine = stages[0]?.plugin;
  const guests = stages.filter(({ plugin }) => plugin !== mainLine);
  const candidates = [...guests, ...stages.filter(({ plugin }) => plugin === mainLine)];
  const followersOf = (name: string | undefined): Stage[] =>
    candidates
      .filter(({ stage: { after } }) => (absent.includes(after ?? '') ? undefined : after) === name)
      .flatMap(({ stage }) => [stage, ...followersOf(stage.name)]);
  const ordered = followersOf(undefined);
  const stuck = stages.filter(({ stage }) => !ordered.includes(stage));
  if (stuck.length > 0) {
    const names = stuck.map(
      ({ stage, plugin }) => `"${stage.name}" of ${plugin} after "${stage.after ?? ''}"`,
    );
    throw new MaasError('MAAS_PLUGIN_FAILED', `stages follow each other in a circle: ${names.join(', ')}`);
  }
  return ordered;
}
