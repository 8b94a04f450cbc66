import type { TrainProgress } from '../../../../plugin/api.js';
import type { Ranks } from '../../../../runtime/mpi/join-ranks.js';

/** What a training on several ranks needs beside its step. */
export interface Company {
  readonly ranks: Ranks;
  /** Stops this rank's part; all ranks are told after the same step, by `stop`. */
  readonly wanted: AbortSignal;
  readonly stop: () => void;
  /** Aborted after the same step everywhere. */
  readonly agreed: AbortSignal;
  /** To be told after each step how long each rank computed for the one before it, in milliseconds. */
  readonly onTimes: (times: Float32Array) => void;
  /** Adds these times to what is reported. */
  readonly tell: (report: (progress: TrainProgress) => void) => (progress: TrainProgress) => void;
}

/** Share of the newest step in the times that are shown. */
const newest = 0.1;

/** Ranks stop together: one that stops by itself would leave the others waiting for its gradients. */
export function keepCompany(ranks: Ranks, wanted: AbortSignal): Company {
  const agreement = new AbortController();
  const computes = new Float64Array(ranks.size);
  return {
    ranks,
    wanted,
    agreed: agreement.signal,
    stop: () => {
      agreement.abort();
    },
    onTimes: (times) => {
      for (const [rank, time] of times.entries()) {
        const before = computes[rank]!;
        computes[rank] = before === 0 ? time : before + newest * (time - before);
      }
    },
    tell: (report) => (progress) => {
      report({ ...progress, ranks: [...computes] });
    },
  };
}
