import type { Paired, Request } from '../../evaluate/index.js';
import type { Model } from '../../ir/graph.js';
import type { PassContext } from '../../plugin/api.js';
import type { Feeds } from '../../runtime/session.js';

/** A model that is to be compressed, and what it is judged by. */
export interface Subject {
  /** The model's file. */
  readonly path: string;
  readonly model: Model;
  /** Of its file and its external data. */
  readonly bytes: number;
  /** What passes may look at. */
  readonly context: PassContext;
  /**
   * Figures of the model, and of one that was made from it.
   * @param options Rows to ask at most, spread over all (default: all), and when to stop.
   */
  judge(path: string, options?: JudgeOptions): Promise<Judgement>;
  /** Some of the rows that it is judged by, in one batch. */
  probe(): Feeds;
  /** What it is timed with. */
  requests(): readonly Request[];
}

export interface JudgeOptions {
  readonly rows?: number;
  readonly signal?: AbortSignal;
}

/** What two models say of the same rows. */
export interface Judgement {
  /** Rows that were asked. */
  readonly rows: number;
  /** Whether these are all that there are. */
  readonly isWhole: boolean;
  /** Undefined where there is no truth to hold them against. */
  readonly task: 'classification' | 'regression' | undefined;
  /** Figures of `score`. */
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
  /** Figures of `compare`. */
  readonly difference: Readonly<Record<string, number>>;
  /** Row by row; missing where the two are the same model, and nothing is left to chance. */
  readonly paired?: Paired;
  /** Of several targets each by itself, by name. */
  readonly heads?: Readonly<Record<string, Omit<Judgement, 'rows' | 'isWhole' | 'heads'>>>;
}
