import type { TrainProgress } from '../plugin/api.js';
import { formatDuration, formatNumber } from './format.js';
import { sparkline } from './sparkline.js';

/** Epochs that are looked back on. */
const mostEpochs = 512;

/**
 * Makes the line of live training progress, with the losses of the epochs so far as curves:
 * `epoch 12/60 · loss 0.1234 █▅▃▂▁ · validation loss 0.13 █▄▂▁▁ · validation accuracy 0.95 · 540 steps/s · 34,567 rows/s · 3.0 s left`.
 */
export function describeProgress(): (progress: TrainProgress) => string {
  const losses: number[] = [];
  const validationLosses: number[] = [];
  let validation: TrainProgress['validation'];
  const remember = (curve: number[], value: number): void => {
    curve.push(value);
    if (curve.length > mostEpochs) curve.shift();
  };
  return (progress) => {
    if (progress.validation) {
      validation = progress.validation;
      remember(losses, progress.loss);
      remember(validationLosses, validation['loss'] ?? NaN);
    }
    const current = progress.validation ? losses : [...losses, progress.loss];
    const parts = [`epoch ${progress.epoch}/${progress.epochs}`, figure('loss', progress.loss, current)];
    // The last that is known, so that the line does not jump while an epoch runs.
    for (const [name, value] of Object.entries(validation ?? {})) {
      parts.push(figure(`validation ${name}`, value, name === 'loss' ? validationLosses : []));
    }
    const { stepsPerSecond = 0, samplesPerSecond, eta } = progress;
    if (stepsPerSecond > 0) parts.push(`${formatRate(stepsPerSecond)} steps/s`);
    if (samplesPerSecond > 0) parts.push(`${formatRate(samplesPerSecond)} rows/s`);
    if (eta > 0) parts.push(`${formatDuration(eta)} left`);
    return [parts.join(' · '), ...describeRanks(progress)].join('\n');
  };
}

/** Ranks that are shown: with more of them, those that the others wait for. */
const mostRanks = 8;

/** A rank that computes for so much longer than the mean holds the others up. */
const straggling = 1.1;

/** A line for each rank: `rank 1 · computes 15.3 of 18.0 ms a step · 27 % longer than the mean`. */
function describeRanks({ ranks = [], stepsPerSecond = 0 }: TrainProgress): string[] {
  const mean = ranks.reduce((sum, time) => sum + time, 0) / ranks.length;
  if (!(mean > 0) || stepsPerSecond === 0) return [];
  const step = formatNumber(1000 / stepsPerSecond);
  const times = ranks.map((time, rank) => ({ rank, time }));
  const shown = ranks.length <= mostRanks ? times : times.sort((a, b) => b.time - a.time).slice(0, mostRanks);
  return shown.map(({ rank, time }) => {
    const excess =
      time > straggling * mean ? ` · ${Math.round(100 * (time / mean - 1))} % longer than the mean` : '';
    return `rank ${rank} · computes ${formatNumber(time)} of ${step} ms a step${excess}`;
  });
}

function figure(name: string, value: number, curve: readonly number[]): string {
  const text = `${name} ${formatNumber(value)}`;
  return curve.length > 1 ? `${text} ${sparkline(curve)}` : text;
}

function formatRate(rate: number): string {
  return rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString('en-US');
}
