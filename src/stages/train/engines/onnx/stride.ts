/** Longest time that a run should take: between two, progress is told and Ctrl-C heeded. In milliseconds. */
const longest = 200;
/** The same for weights that take a while to go to onnxruntime and back, as each run has them do. */
const longestHeavy = 800;
/** From so many bytes of weights and slots on. */
const heavy = 2 ** 24;
/** Most steps in one run: more save next to nothing. */
const mostSteps = 64;
/** Most memory for the batches of one run. In bytes. */
const mostRoom = 2 ** 24;

/** How many steps the next run makes. The weights do not depend on it, only the speed does. */
export interface Stride {
  readonly steps: number;
  /** Learns from a run of so many steps, in milliseconds. */
  took(steps: number, spent: number): void;
}

/**
 * Doubles the steps while runs stay short, and halves them when they do not: powers of two, so that onnxruntime sees few
 * shapes.
 * @param sizes Bytes of one batch, and of the weights and slots.
 */
export function adaptStride(
  { batch, carried }: { readonly batch: number; readonly carried: number },
  most = mostSteps,
): Stride {
  const time = carried < heavy ? longest : longestHeavy;
  const limit = Math.max(1, Math.min(most, mostSteps, Math.floor(mostRoom / batch)));
  let steps = 1;
  return {
    get steps() {
      return Math.min(steps, limit);
    },
    took(made, spent) {
      const each = spent / made;
      if (each * steps > time && steps > 1) steps /= 2;
      else if (each * steps * 2 <= time && steps < limit && made >= Math.min(steps, limit)) steps *= 2;
    },
  };
}
