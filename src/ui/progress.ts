import type { TrainProgress } from '../plugin/api.js';
import { formatDuration, formatNumber } from './format.js';

/** One line of live training progress: `epoch 12/60 · loss 0.1234 · accuracy 0.95 · 34,567 rows/s · 3.0 s left`. */
export function formatProgress(progress: TrainProgress): string {
  const parts = [`epoch ${progress.epoch}/${progress.epochs}`, `loss ${formatNumber(progress.loss)}`];
  for (const [figure, value] of Object.entries(progress.validation ?? {})) {
    parts.push(`validation ${figure} ${formatNumber(value)}`);
  }
  if (progress.samplesPerSecond > 0) {
    parts.push(`${Math.round(progress.samplesPerSecond).toLocaleString('en-US')} rows/s`);
  }
  if (progress.eta > 0) parts.push(`${formatDuration(progress.eta)} left`);
  return parts.join(' · ');
}
