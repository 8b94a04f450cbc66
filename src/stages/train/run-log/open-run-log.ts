import { rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { StageRun, TrainProgress } from '../../../plugin/api.js';
import { openEventFile } from './event-file.js';
import { openLineFile } from './line-file.js';

/** Writes down how a training goes, for TensorBoard and for scripts. */
export interface RunLog {
  /** Its folder. */
  readonly path: string;
  add(progress: TrainProgress): void;
  /** Why it ended early, if it did: a log that cannot be written is no reason to stop a training. */
  readonly trouble: string | undefined;
}

/**
 * Opens the log of a run in `.maas/runs/<stage>/<start of the key>`, outside the artifact, since it holds times:
 *
 *   metrics.jsonl               a line each `everySteps` steps and at the end of each epoch
 *   train/events.out.tfevents.*       `epoch_loss` by epoch, `batch_loss` by step: TensorBoard's charts have the two
 *   validation/events.out.tfevents.*  folders side by side, with the names that Keras gives them
 *
 * A run that goes on from a checkpoint goes on with its log; what that has already is not written twice.
 */
export async function openRunLog(
  { store, work }: Pick<StageRun, 'store' | 'work'>,
  stage: string,
  everySteps: number,
): Promise<RunLog> {
  const path = join(store.root, 'runs', stage, basename(work).slice(0, 12));
  let trouble: string | undefined;
  let write: ((progress: TrainProgress) => void) | undefined;
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      trouble = `the run log is not complete: ${(error as Error).message}`;
      write = undefined;
    }
  };
  const isNew = (await readdir(work)).length === 0;
  attempt(() => {
    // Without a checkpoint the training begins anew, and so does its log.
    if (isNew) rmSync(path, { recursive: true, force: true });
    write = openWriters(path, everySteps);
  });
  return {
    path,
    add(progress) {
      attempt(() => write?.(progress));
    },
    get trouble() {
      return trouble;
    },
  };
}

function openWriters(path: string, everySteps: number): (progress: TrainProgress) => void {
  const train = openEventFile(join(path, 'train'));
  const held = openEventFile(join(path, 'validation'));
  const lines = openLineFile(join(path, 'metrics.jsonl'));
  let due = 0;
  return ({ epoch, step: inEpoch, steps, loss, samplesPerSecond, learningRate, validation }) => {
    const step = (epoch - 1) * steps + inEpoch;
    if (!validation && step < due) return;
    due = (Math.floor(step / everySteps) + 1) * everySteps;
    const figures = { loss, ...(learningRate !== undefined && { learningRate }) };
    lines.add({ epoch, step, ...figures, samplesPerSecond, ...(validation && { validation }) });
    if (!validation) {
      train.add([{ tag: 'batch_loss', step, value: loss }]);
      return;
    }
    const byEpoch = (values: Readonly<Record<string, number>>) =>
      Object.entries(values).map(([name, value]) => ({ tag: `epoch_${snake(name)}`, step: epoch, value }));
    train.add(byEpoch(figures));
    held.add(byEpoch(validation));
  };
}

/** `rocAuc` → `roc_auc`, and labels as they are: `recall.Setosa`. */
function snake(name: string): string {
  const [figure = '', ...label] = name.split('.');
  return [figure.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), ...label].join('.');
}
