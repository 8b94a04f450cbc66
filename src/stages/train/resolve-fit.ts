import { placeIn } from '../../config/index.js';
import type { Dataset } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import type { Project, TrainJob } from '../../plugin/api.js';
import { explainMisfit } from './figure-names.js';
import type { FitOptions } from './fit-options.js';
import { resolveLoss } from '../resolve-loss.js';
import { watchedFigure } from './watch.js';

/**
 * How an engine is to fit the weights, from what the config says.
 * @throws MaasError MAAS_CONFIG_INVALID when the loss, or a figure that is watched, does not go with the target.
 */
export function resolveFit(
  { optimizer, loss, schedule, clipNorm, clipValue, earlyStopping, metrics = [], sampling }: FitOptions,
  dataset: Dataset,
  project: Project,
): Pick<TrainJob, 'optimizer' | 'loss' | 'schedule' | 'clip' | 'earlyStopping' | 'metrics' | 'sampling'> {
  const scheduled = schedule?.options as { readonly monitor?: string } | undefined;
  const wanted = [
    ...metrics.map((figure, at) => ({ figure, path: ['metrics', at] })),
    { figure: watchedBy(scheduled), path: ['schedule', schedule?.name ?? '', 'monitor'] },
    { figure: watchedBy(earlyStopping), path: ['earlyStopping', 'monitor'] },
  ];
  const { signature } = dataset;
  for (const { figure, path } of wanted) {
    const misfit = figure === undefined ? undefined : explainMisfit(figure, signature);
    if (misfit === undefined) continue;
    throw new MaasError('MAAS_CONFIG_INVALID', `train.${path.join('.')}: ${misfit.message}`, {
      place: placeIn(project, ['train', ...path]),
      hint: misfit.hint,
    });
  }
  if (sampling === 'balanced') checkBalance(dataset, project);
  const usual = signature.task === 'classification' ? ['accuracy'] : [];
  const figures = wanted.map(({ figure }) => figure).filter((figure) => figure !== undefined);
  return {
    optimizer: {
      name: optimizer.name,
      ...(optimizer.options as { readonly learningRate: number }),
    },
    metrics: [...new Set([...usual, ...figures])],
    loss: resolveLoss(loss, dataset, project),
    ...(schedule && { schedule: { name: schedule.name, ...scheduled } }),
    ...((clipNorm !== undefined || clipValue !== undefined) && {
      clip: {
        ...(clipNorm !== undefined && { norm: clipNorm }),
        ...(clipValue !== undefined && { value: clipValue }),
      },
    }),
    ...(earlyStopping && { earlyStopping }),
    ...(sampling && { sampling }),
  };
}

/** @throws MaasError MAAS_CONFIG_INVALID when there are no classes. */
function checkBalance({ signature }: Dataset, project: Project): void {
  if (signature.task !== 'regression') return;
  throw new MaasError('MAAS_CONFIG_INVALID', 'train.sampling: amounts have no classes to balance', {
    place: placeIn(project, ['train', 'sampling']),
    hint: 'Leave train.sampling out.',
  });
}

function watchedBy(watcher: { readonly monitor?: string } | undefined): string | undefined {
  return watcher?.monitor === undefined ? undefined : watchedFigure(watcher.monitor);
}
