import type { Checkpoints, Standing } from './checkpoint.js';
import type { Stepper } from './stepper.js';

/** Writing checkpoints may take this share of the time. */
const checkpointShare = 0.05;

export interface Saver {
  save(standing: Standing): Promise<void>;
  /** Saves when enough time has gone by since the last time. */
  saveIfDue(standing: () => Standing): Promise<void>;
}

/** Writes checkpoints of a stepper, at most one in `seconds`. */
export function pace(checkpoints: Checkpoints, stepper: Stepper, seconds: number): Saver {
  let due = performance.now() + seconds * 1000;
  const save = async (standing: Standing): Promise<void> => {
    const start = performance.now();
    await checkpoints.write({ ...standing, state: await stepper.read() });
    const end = performance.now();
    due = end + Math.max(seconds * 1000, seconds === 0 ? 0 : (end - start) / checkpointShare);
  };
  return {
    save,
    saveIfDue: async (standing) => {
      if (performance.now() >= due) await save(standing());
    },
  };
}
