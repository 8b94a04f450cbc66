import type { z } from 'zod';
import type { ConfigPath } from '../config/place.js';
import type { Place } from '../errors.js';
import type { Model } from '../ir/graph.js';
import type { InstructionSet } from '../runtime/cpu.js';
import type { Feeds } from '../runtime/session.js';
import type { Trainer } from './trainer.js';

export interface PassContext {
  /**
   * Up to so many rows that a pass may look at, in batches of at most 32: never those that gates judge by. None where
   * a model is compressed without data.
   */
  calibration(samples: number): Promise<readonly Feeds[]>;
  readonly seed: number;
  /** Processors that the model is made for; undefined where they are not known. */
  readonly target?: InstructionSet | undefined;
  /** Trains on the project's own rows; undefined where a model is compressed without a project. */
  readonly trainer?: Trainer;
  /** Where a value of the pass's own options is written. */
  readonly placeOf?: (path: ConfigPath) => Place;
  /** Aborted when a pass is to stop. One that works for long gives way to timers now and then, and looks at it. */
  readonly signal?: AbortSignal;
  /** What has been found out about the very model that a pass is given, for one that is run on it again. */
  readonly memory?: Map<string, unknown>;
}

export interface PassReport {
  readonly changed: boolean;
  /** Parts that the pass changed, and what became of them. A gate that fails names them. */
  readonly applied?: readonly { readonly node: string; readonly note: string }[];
  /** Parts that the pass looked at and left alone, with the reason. */
  readonly skipped: readonly { readonly node: string; readonly reason: string }[];
  readonly notes?: readonly string[];
}

/** A pure rewrite graph → graph that keeps the meaning within a bound that it states. */
export interface Pass<Options = unknown> {
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** Raise it when the same graph and options give another result. */
  readonly version: number;
  run(model: Model, options: Options, context: PassContext): Promise<{ model: Model; report: PassReport }>;
}
