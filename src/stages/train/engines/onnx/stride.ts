/** Longest time that a run should take: between two, progress is told and Ctrl-C heard. In milliseconds. */
const longest = 60;
/** Most steps in one run: more save next to nothing. */
const mostSteps = 64;
/** Most memory for the batches of one run. In bytes. */
const mostRoom = 2 ** 24;

/** How many steps the next run makes. The weights do not depend on it, only the speed does. */
export interface Stride {
  readonly steps: number;
  /** Learns from a run of so many steps, in milliseconds. */
  took(steps: number, time: number): void;
}

/**
 * Doubles the steps while runs stay short, and halves them when they do not: powers of two, so that onnxruntime sees few
 * shapes.
 * @param batchBytes What one batch takes in memory.
 */
export function adaptStride(batchBytes: number, most = mostSteps): Stride {
  const limit = Math.max(1, Math.min(most, mostSteps, Math.floor(mostRoom / batchBytes)));
  let steps = 1;
  return {
    get steps() {
      return Math.min(steps, limit);
    },
    took(made, time) {
      const each = time / made;
      if (each * steps > longest && steps > 1) steps /= 2;
      else if (each * steps * 2 <= longest && steps < limit && made >= Math.min(steps, limit)) steps *= 2;
    },
  };
}
