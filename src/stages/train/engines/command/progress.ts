import { z } from 'zod';
import type { TrainOrder, TrainOutcome } from '../../../../plugin/api.js';
import { followLines } from '../../follow-lines.js';

/** A line that the trainer appends to the file MAAS_PROGRESS: how far it is, or something for the person who trains. */
const lineSchema = z.union([
  z.object({
    /** From 1. */
    epoch: z.int().min(1),
    epochs: z.int().min(1).optional(),
    /** Steps of the epoch that are done, and all of them. */
    step: z.int().min(0).optional(),
    steps: z.int().min(1).optional(),
    loss: z.number(),
    /** Figures on the validation split; they end an epoch. */
    validation: z.record(z.string(), z.number()).optional(),
  }),
  z.object({ note: z.string().min(1) }),
]);

/** Follows the file that the trainer reports to. */
export interface ProgressReader {
  /** Reads what is new. */
  read(): Promise<void>;
  /** The last figures of every epoch, in order; those of a run that was killed are among them. */
  history(): TrainOutcome['history'];
  /** What the trainer has to say, and what could not be read of it. */
  notes(): string[];
}

export function followProgress(path: string, order: TrainOrder): ProgressReader {
  const epochs = new Map<number, TrainOutcome['history'][number]>();
  const notes: string[] = [];
  const wrong: string[] = [];
  const rows = order.dataset.splits.train.rows;
  const lines = followLines(path);
  let first: { readonly time: number; readonly done: number } | undefined;

  const take = (text: string): void => {
    const line = parse(text);
    if (!line) wrong.push(text);
    else if ('note' in line) notes.push(line.note);
    else {
      const { epoch, loss, validation, epochs: all = order.epochs, steps = 1 } = line;
      const { step = validation ? steps : 0 } = line;
      epochs.set(epoch, { epoch, loss, ...prefixed(validation) });
      const done = epoch - 1 + Math.min(step / steps, 1);
      const time = performance.now();
      first ??= { time, done };
      const perSecond = (done - first.done) / Math.max((time - first.time) / 1000, 1e-3);
      order.onProgress({
        epoch,
        epochs: all,
        step,
        steps,
        loss,
        samplesPerSecond: perSecond * rows,
        eta: perSecond > 0 ? Math.max(all - done, 0) / perSecond : 0,
        ...(validation && { validation }),
      });
    }
  };
  return {
    async read() {
      for (const text of await lines()) take(text);
    },
    history: () => [...epochs.values()].sort((a, b) => a.epoch - b.epoch),
    notes: () => {
      const count = wrong.length === 1 ? 'a line' : `${wrong.length} lines`;
      const what = `${count} of the trainer's progress could not be read: ${wrong[0]?.slice(0, 80)}`;
      return [...notes, ...(wrong.length > 0 ? [what] : [])];
    },
  };
}

function parse(text: string): z.output<typeof lineSchema> | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function prefixed(figures: Readonly<Record<string, number>> = {}): Record<string, number> {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [
      `validation${name.slice(0, 1).toUpperCase()}${name.slice(1)}`,
      value,
    ]),
  );
}
