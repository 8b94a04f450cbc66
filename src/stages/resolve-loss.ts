import { placeIn, type ConfigPath } from '../config/index.js';
import type { Named } from '../config/named.js';
import type { Dataset } from '../data/index.js';
import { partsOf } from '../data/rows.js';
import { MaasError } from '../errors.js';
import { losses } from '../ir/losses.js';
import type { Project, TrainJob } from '../plugin/api.js';

/**
 * The loss that the config names, or the one that goes with the target, with class weights by index.
 * @throws MaasError MAAS_CONFIG_INVALID when the loss is for another kind of target, or weighs a class that is not there.
 */
export function resolveLoss(
  chosen: Named | undefined,
  dataset: Dataset,
  project: Project,
  at: ConfigPath = ['train', 'loss'],
): TrainJob['loss'] {
  const shown = at.join('.');
  const { task, reconstructs } = dataset.signature;
  // The mean of the rows' errors, which are squared already.
  if (reconstructs && !chosen) return { name: 'meanAbsoluteError' };
  if (reconstructs) {
    throw new MaasError('MAAS_CONFIG_INVALID', `${shown}: a reconstruction is learned by its squared error`, {
      place: placeIn(project, at),
      hint: `Leave ${shown} out.`,
    });
  }
  const fallback = task === 'classification' ? 'sparseCategoricalCrossentropy' : 'meanSquaredError';
  if (!chosen) return { name: fallback };
  const { name } = chosen;
  if (losses[name]!.task !== task) {
    throw new MaasError(
      'MAAS_CONFIG_INVALID',
      `${shown} ${name} is for ${losses[name]!.task}, the data is for ${task}`,
      {
        place: placeIn(project, at),
        hint: `Choose ${fallback}, or leave ${shown} out.`,
      },
    );
  }
  const { classWeights, ...options } = chosen.options as Record<string, unknown> & {
    readonly classWeights?: 'balanced' | Readonly<Record<string, number>>;
  };
  if (classWeights === undefined) return { name, ...options };
  if (classWeights === 'balanced') return { name, ...options, classWeights: balance(dataset) };
  const labels = dataset.signature.target.labels ?? [];
  const unknown = Object.keys(classWeights).find((label) => !labels.includes(label));
  if (unknown !== undefined) {
    throw new MaasError(
      'MAAS_CONFIG_INVALID',
      `${shown} weighs the class ${unknown}, which the data does not have`,
      {
        place: placeIn(project, [...at, name, 'classWeights', unknown]),
        hint: `The classes are: ${labels.join(', ')}.`,
      },
    );
  }
  return { name, ...options, classWeights: labels.map((label) => classWeights[label] ?? 1) };
}

/** n/(k·nᵢ): each of k classes counts as much as any other, and the mean weight of a row is 1. */
function balance({ signature, splits }: Dataset): number[] {
  const { target, rows } = splits.train;
  const labels = signature.target.labels ?? [];
  const counts = labels.map(() => 0);
  for (const { data } of partsOf(target)) for (const index of data) counts[Number(index)]! += 1;
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count === 0 ? 1 : rows / (present * count)));
}
