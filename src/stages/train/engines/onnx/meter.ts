import type { TrainJob, TrainProgress } from '../../../../plugin/api.js';

/** Milliseconds between two reports, but for ends of epochs. */
const interval = 100;

type Figures = Pick<TrainProgress, 'epoch' | 'step' | 'loss' | 'validation'>;

/**
 * Reports progress at a pace that a terminal can follow.
 * @param rowsLeft Rows to train on until the end, when the meter starts.
 */
export function startMeter(job: TrainJob, steps: number, rowsLeft: number) {
  const start = performance.now();
  let last = -Infinity;
  let rows = 0;
  return {
    count(more: number): void {
      rows += more;
    },
    report(figures: Figures): void {
      const now = performance.now();
      if (!figures.validation && now - last < interval) return;
      last = now;
      const samplesPerSecond = (rows / Math.max(now - start, 1e-3)) * 1000;
      const eta = samplesPerSecond > 0 ? (rowsLeft - rows) / samplesPerSecond : 0;
      job.onProgress({ epochs: job.epochs, steps, ...figures, samplesPerSecond, eta });
    },
  };
}
