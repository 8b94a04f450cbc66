import type { TrainJob, TrainProgress } from '../../../../plugin/api.js';

/** Milliseconds between two reports, but for ends of epochs. */
const interval = 100;

type Figures = Pick<TrainProgress, 'epoch' | 'step' | 'loss' | 'learningRate' | 'validation'>;

/**
 * Reports progress at a pace that a terminal can follow.
 * @param rowsLeft Rows to train on until the end, when the meter starts.
 */
export function startMeter(job: TrainJob, steps: number, rowsLeft: number) {
  const start = performance.now();
  let last = -Infinity;
  let [rows, stepsDone] = [0, 0];
  return {
    count(moreSteps: number, moreRows: number): void {
      stepsDone += moreSteps;
      rows += moreRows;
    },
    report(figures: Figures): void {
      const now = performance.now();
      if (!figures.validation && now - last < interval) return;
      last = now;
      const seconds = Math.max(now - start, 1e-3) / 1000;
      const [samplesPerSecond, stepsPerSecond] = [rows / seconds, stepsDone / seconds];
      const eta = samplesPerSecond > 0 ? (rowsLeft - rows) / samplesPerSecond : 0;
      job.onProgress({ epochs: job.epochs, steps, ...figures, samplesPerSecond, stepsPerSecond, eta });
    },
  };
}
