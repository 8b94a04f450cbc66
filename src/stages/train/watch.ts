import { z } from 'zod';
import { figures, findFigure, labelFigurePattern } from '../../evaluate/figures.js';
import type { TrainOutcome } from '../../plugin/api.js';

type History = TrainOutcome['history'];

/** The figures of an epoch that can be watched: `loss`, `validationLoss`, and every figure as `validationAccuracy`. */
const watchable: readonly string[] = ['loss', 'validationLoss', ...Object.keys(figures).map(validationName)];

/** `validationAccuracy` for `accuracy`, `validationRecall.setosa` for `recall.setosa`. */
export function validationName(figure: string): string {
  return `validation${figure[0]!.toUpperCase()}${figure.slice(1)}`;
}

/** The figure that a monitor names: `accuracy` for `validationAccuracy`, and none for a loss. */
export function watchedFigure(monitor: string): string | undefined {
  if (monitor === 'loss' || monitor === 'validationLoss' || !monitor.startsWith('validation'))
    return undefined;
  const name = monitor.slice('validation'.length);
  return `${(name[0] ?? '').toLowerCase()}${name.slice(1)}`;
}

function isWatchable(monitor: string): boolean {
  const figure = watchedFigure(monitor);
  return watchable.includes(monitor) || (figure !== undefined && findFigure(figure) !== undefined);
}

/** Options of whatever waits for a figure to get better. Their names are those of Keras. */
export const watchFields = {
  monitor: z
    .string()
    .check((context) => {
      if (isWatchable(context.value)) return;
      const message = `there is no figure "${context.value}" to watch`;
      const params = { unknown: context.value, known: watchable };
      context.issues.push({ code: 'custom', input: context.value, path: [], message, params });
    })
    .default('validationLoss')
    .meta({
      anyOf: [{ enum: watchable }, { pattern: `^validation${capitals(labelFigurePattern.slice(1))}` }],
      description:
        'Figure of each epoch that is watched: loss, validationLoss, validationF1, validationRecall.LABEL, …',
    }),
  mode: z
    .enum(['auto', 'min', 'max'])
    .default('auto')
    .describe('Whether a smaller or a greater figure is better; auto goes by the figure.'),
  minDelta: z.number().min(0).default(0).describe('Least change that counts as better.'),
};

function capitals(pattern: string): string {
  return pattern.replaceAll(/(?<=[(|])[a-z]/g, (letter) => letter.toUpperCase());
}

export interface Watch {
  readonly monitor: string;
  readonly mode: 'auto' | 'min' | 'max';
  readonly minDelta: number;
}

/**
 * Whether each epoch was better than all before it, by more than `minDelta`. A function of the history alone: a training
 * that goes on from a checkpoint comes to the same answers. A figure that is not there or no number is never better.
 * @param from Epochs before this one, counted from 0, do not count.
 */
export function findImprovements(history: History, { monitor, mode, minDelta }: Watch, from = 0): boolean[] {
  const figure = watchedFigure(monitor);
  const greater =
    mode === 'auto' ? figure !== undefined && findFigure(figure)?.better === 'greater' : mode === 'max';
  const sign = greater ? 1 : -1;
  let best = -Infinity;
  return history.map((epoch, at) => {
    const value = at < from ? NaN : sign * (epoch[monitor] ?? NaN);
    const better = value > best + minDelta || (best === -Infinity && value > best);
    if (better) best = value;
    return better;
  });
}
