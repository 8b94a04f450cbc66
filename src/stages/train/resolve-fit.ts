import { placeIn } from '../../config/index.js';
import type { Dataset } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import type { Project, TrainJob } from '../../plugin/api.js';
import type { FitOptions } from './fit-options.js';
import { resolveLoss } from './resolve-loss.js';

/**
 * How an engine is to fit the weights, from what the config says.
 * @throws MaasError MAAS_CONFIG_INVALID when the loss, or a figure that is watched, does not go with the target.
 */
export function resolveFit(
  { optimizer, loss, schedule, clipNorm, clipValue, earlyStopping }: FitOptions,
  dataset: Dataset,
  project: Project,
): Pick<TrainJob, 'optimizer' | 'loss' | 'schedule' | 'clip' | 'earlyStopping'> {
  const scheduled = schedule?.options as { readonly metric?: string } | undefined;
  const watched = [
    { metric: scheduled?.metric, path: ['schedule', schedule?.name ?? '', 'metric'] },
    { metric: earlyStopping?.metric, path: ['earlyStopping', 'metric'] },
  ];
  for (const { metric, path } of watched) {
    if (metric !== 'validationAccuracy' || dataset.signature.task === 'classification') continue;
    throw new MaasError('MAAS_CONFIG_INVALID', `train.${path.join('.')}: amounts have no accuracy`, {
      place: placeIn(project, ['train', ...path]),
      hint: 'Watch validationLoss.',
    });
  }
  return {
    optimizer: {
      name: optimizer.name,
      ...(optimizer.options as { readonly learningRate: number }),
    },
    loss: resolveLoss(loss, dataset, project),
    ...(schedule && { schedule: { name: schedule.name, ...scheduled } }),
    ...((clipNorm !== undefined || clipValue !== undefined) && {
      clip: {
        ...(clipNorm !== undefined && { norm: clipNorm }),
        ...(clipValue !== undefined && { value: clipValue }),
      },
    }),
    ...(earlyStopping && { earlyStopping }),
  };
}
