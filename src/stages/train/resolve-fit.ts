import { placeIn } from '../../config/index.js';
import {
  figureOf,
  headsOf,
  onlyHead,
  onlyTarget,
  type Dataset,
  type SplitName,
  type Table,
} from '../../data/index.js';
import { didYouMean } from '../../suggest.js';
import { MaasError } from '../../errors.js';
import { losses as lossTable } from '../../ir/losses.js';
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
  {
    optimizer,
    loss,
    losses,
    lossWeights,
    schedule,
    clipNorm,
    clipValue,
    earlyStopping,
    metrics = [],
    sampling,
  }: FitOptions,
  dataset: Dataset,
  project: Project,
): Pick<
  TrainJob,
  'optimizer' | 'loss' | 'losses' | 'schedule' | 'clip' | 'earlyStopping' | 'metrics' | 'sampling'
> {
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
  const heads = headsOf(signature);
  const usual = heads
    .filter(({ task }) => task === 'classification')
    .map(({ name }) => (heads.length > 1 ? figureOf('accuracy', name) : 'accuracy'));
  const figures = wanted.map(({ figure }) => figure).filter((figure) => figure !== undefined);
  return {
    optimizer: {
      name: optimizer.name,
      ...(optimizer.options as { readonly learningRate: number }),
    },
    metrics: [...new Set([...usual, ...figures])],
    ...resolveLosses({ loss, losses, lossWeights }, dataset, project),
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

/**
 * The loss, and of several targets that of each with its weight.
 * @throws MaasError MAAS_CONFIG_INVALID for options that are for several targets where there is one, or the other way
 * round, and names that no target has.
 */
function resolveLosses(
  { loss, losses = {}, lossWeights = {} }: Pick<FitOptions, 'loss' | 'losses' | 'lossWeights'>,
  dataset: Dataset,
  project: Project,
): Pick<TrainJob, 'loss' | 'losses'> {
  const { signature, splits } = dataset;
  const heads = headsOf(signature);
  const names = heads.map(({ name }) => name);
  const wrong = (path: string[], message: string, hint: string): MaasError =>
    new MaasError('MAAS_CONFIG_INVALID', `train.${path.join('.')}: ${message}`, {
      place: placeIn(project, ['train', ...path]),
      hint,
    });
  for (const [key, given] of Object.entries({ losses, lossWeights })) {
    const [name] = Object.keys(given).filter((each) => heads.length === 1 || !names.includes(each));
    if (name === undefined) continue;
    if (heads.length === 1)
      throw wrong(
        [key],
        'is for several targets',
        `The one target is ${names[0]!}: write train.loss, or remove ${key}.`,
      );
    throw wrong(
      [key, name],
      `there is no target "${name}"`,
      didYouMean(name, names) ?? `Targets: ${names.join(', ')}.`,
    );
  }
  if (heads.length === 1) return { loss: resolveLoss(loss, dataset, project) };
  const chosen = Object.entries(losses).map(([name, given]) => ({ path: ['losses', name], given }));
  for (const { path, given } of loss ? [{ path: ['loss'], given: loss }, ...chosen] : chosen) {
    if (lossTable[given.name]?.embeds !== true) continue;
    const message = `${given.name} is for a model with one target: it trains what the last layer is given`;
    throw wrong(path, message, 'Name one column under data.target, or choose another loss.');
  }
  if (loss) {
    const example = `losses: {${names[0]!}: ${loss.name}}`;
    throw wrong(['loss'], 'the model has several targets, each with a loss of its own', `Write ${example}.`);
  }
  const each = heads.map((head) => {
    const split = (name: SplitName): Table => onlyTarget(splits[name], head.name);
    const own: Dataset = {
      ...dataset,
      signature: onlyHead(signature, head),
      splits: { train: split('train'), validation: split('validation'), test: split('test') },
    };
    const found = resolveLoss(losses[head.name], own, project, ['train', 'losses', head.name]);
    return [head.name, { loss: found, weight: lossWeights[head.name] ?? 1 }] as const;
  });
  if (each.every(([, { weight }]) => weight === 0))
    throw wrong(['lossWeights'], 'no target counts', 'Give one of them a weight above 0.');
  return { loss: each[0]![1].loss, losses: Object.fromEntries(each) };
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
