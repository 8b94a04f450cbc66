import type { ErrorCode } from '../../../errors.js';
import type { TrainOutcome } from '../../../plugin/api.js';
import type { TrainOptions } from '../config.js';

/** What each rank is told, in a file: enough to read the data and to build the model by itself. */
export interface RankJob {
  readonly project: {
    readonly name: string;
    readonly seed: number;
    readonly root: string;
    readonly configFile: string;
    readonly config: Readonly<Record<string, unknown>>;
  };
  readonly options: TrainOptions;
  /** Folder of the checkpoints. */
  readonly work: string;
  /** Ranks that there must be. */
  readonly size: number;
  /** Digest of the data that rank 0's maas has read. */
  readonly data: string;
  readonly files: RankFiles;
}

export interface RankFiles {
  /** Takes a line of JSON for each report of progress. */
  readonly progress: string;
  /** Takes the trained model. */
  readonly model: string;
  /** Takes a `RankOutcome`. */
  readonly outcome: string;
  /** Takes a `RankError` of the rank that failed first. */
  readonly error: string;
}

export type RankOutcome = Omit<TrainOutcome, 'model'>;

export interface RankError {
  /** Undefined for a bug. */
  readonly code?: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}
