import type { ListrTask } from 'listr2';
import type { z } from 'zod';
import type { Json } from '../artifacts/index.js';
import type { Dataset } from '../data/dataset.js';
import type { Model } from '../ir/graph.js';
import type { Ranks } from '../runtime/mpi/join-ranks.js';
import type { Project } from './api.js';

/** A training of the model that the config describes. */
export interface TrainJob extends TrainOrder {
  /** The forward graph with its initial weights; takes raw features, gives the outputs of the signature. */
  readonly model: Model;
  /** Initializers that training may change. */
  readonly trainable: readonly string[];
  /** The value that the loss looks at: class probabilities or a regression's prediction. */
  readonly prediction: string;
  /** What the graph itself adds to the loss, and how much the job's own loss counts beside it: share · loss + value. */
  readonly objective?: Objective;
  /**
   * Of amounts: their mean and standard deviation. The loss looks at prediction and target less the mean, by the deviation,
   * so that learning goes on alike whatever the amounts are measured in. Without it, it looks at them as they are.
   */
  readonly amounts?: { readonly mean: number; readonly deviation: number };
  /** Further targets, by name: what `prediction` and `amounts` are for the first. */
  readonly others?: Readonly<Record<string, Pick<TrainJob, 'prediction' | 'amounts'>>>;
  /**
   * Where each step of a row predicts the id after it: the loss then looks at all steps, and `prediction` is that of the
   * last one, whose class is the row's target.
   */
  readonly steps?: {
    /** Value [N, steps, classes]. */
    readonly logits: string;
    /** Value int64 [N, steps]: what the model reads. */
    readonly ids: string;
    /** Id of class 0. */
    readonly first: number;
  };
}

/** A part of the loss that a graph computes: a penalty, or the distance from a teacher. */
export interface Objective {
  /** Value of the graph: a scalar, the mean over the rows of a batch. */
  readonly value: string;
  /** How much the loss of the data counts beside it; 0 for not at all. */
  readonly share: number;
}

/** A loss by the names of the config, with its options. */
export interface LossChoice {
  readonly name: string;
  readonly [option: string]: unknown;
}

/** What every engine is told, whoever brings the model. */
export interface TrainOrder {
  readonly dataset: Dataset;
  readonly loss: LossChoice;
  /** Of several targets: the loss of each, and how much it counts in the sum, by name. Then `loss` is that of the first. */
  readonly losses?: Readonly<Record<string, { readonly loss: LossChoice; readonly weight: number }>>;
  readonly optimizer: {
    readonly name: string;
    readonly learningRate: number;
    readonly [option: string]: unknown;
  };
  /** How the learning rate goes over the training, by the names of the config; without one it stays as it is. */
  readonly schedule?: { readonly name: string; readonly [option: string]: unknown };
  /** Greatest length of all gradients of a step together, and greatest magnitude of each of their elements. */
  readonly clip?: { readonly norm?: number; readonly value?: number };
  /** When to end before the last epoch, and whether the model gets the weights of its best one. */
  readonly earlyStopping?: {
    /** A figure of the history: `loss`, `validationLoss`, `validationF1`, … */
    readonly monitor: string;
    /** Whether less or more of it is better; `auto` goes by the figure. */
    readonly mode: 'auto' | 'min' | 'max';
    /** Least change that counts as better. */
    readonly minDelta: number;
    /** Epochs without a better figure. */
    readonly patience: number;
    /** Epochs at the beginning that do not count. */
    readonly startFromEpoch: number;
    readonly restoreBestWeights: boolean;
  };
  /** Figures beside the loss to measure on the validation split after each epoch, by the names of `scoreValues`. */
  readonly metrics: readonly string[];
  readonly epochs: number;
  readonly batchSize: number;
  /** Which rows an epoch has: each once, or as many of each class; `shuffle` by default. */
  readonly sampling?: 'shuffle' | 'balanced';
  /** How images are changed by chance each time that they are trained on, by the names of the config. */
  readonly augment?: {
    readonly randomFlip?: 'horizontal' | 'vertical' | 'horizontalAndVertical' | undefined;
    /** Parts of the height and of the width, at most. */
    readonly randomTranslation?: { readonly heightFactor: number; readonly widthFactor: number } | undefined;
    /** Part of a whole turn, at most. */
    readonly randomRotation?: number | undefined;
    readonly randomZoom?: number | undefined;
    /** Part of the range of values. */
    readonly randomBrightness?: number | undefined;
    readonly randomContrast?: number | undefined;
    readonly fillMode: 'reflect' | 'nearest' | 'constant';
    readonly fillValue: number;
  };
  /** Batches that move the weights together, by the mean of their gradients over all rows; 1 by default. */
  readonly accumulate?: number;
  /** An average of the weights, average·decay + weights·(1 − decay) after each update, is what counts in the end. */
  readonly ema?: { readonly decay: number };
  readonly seed: number;
  readonly threads: number;
  /** The processes that train together, for engines that are `distributed`; this one is among them. */
  readonly ranks?: Ranks;
  /** Options of the engine itself. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Where the engine finds what it needs. */
  readonly places?: Places;
  /** Folder of the run's log, which outlives it: what an engine puts there lies beside the figures of the run. */
  readonly log?: string;
  /** Folder for checkpoints; a job started again with the same folder goes on where it stopped. */
  readonly work: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TrainProgress) => void;
  /** Is told the loss of each batch before its update, in order; steps count from 1. Engines may leave it be. */
  readonly onStep?: (step: number, loss: number) => void;
}

export interface TrainProgress {
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
  /** Steps of an epoch. */
  readonly steps: number;
  /** Mean training loss of the epoch so far. */
  readonly loss: number;
  readonly samplesPerSecond: number;
  readonly stepsPerSecond?: number;
  /** Of the last step, where it moves. */
  readonly learningRate?: number;
  /** How long each of several ranks computes for a step, without waiting for others, in milliseconds. */
  readonly ranks?: readonly number[];
  /** Seconds. */
  readonly eta: number;
  /** The loss and the job's metrics on the validation split, at the end of an epoch. */
  readonly validation?: Readonly<Record<string, number>>;
}

export interface TrainOutcome {
  /** The job's model with trained weights. */
  readonly model: Model;
  readonly history: readonly {
    readonly epoch: number;
    readonly loss: number;
    readonly [figure: string]: number;
  }[];
  /** Lines for the person who trains: where it went on from, what was left aside. */
  readonly notes?: readonly string[];
}

/** Where an engine may find what npm did not bring along with maas. */
export interface Places {
  /** The project's folder; its node_modules come first. */
  readonly root: string;
  /** maas' own folder of this user. */
  readonly cache?: string | undefined;
}

export interface EngineInstall {
  /** maas' own folder of this user: nothing is installed anywhere else. */
  readonly cache: string;
  /** Start from nothing. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

interface EngineTraits {
  readonly name: string;
  readonly summary: string;
  /** Schema of the engine's own options in `train.engine: {name: options}`; without one it takes none. */
  readonly options?: z.ZodType;
  /** Why the engine cannot run here, or undefined when it can. */
  unavailable?(places: Places): Promise<{ reason: string; hint: string } | undefined>;
  /** Brings what the engine lacks, for `maas engines install NAME`: steps in order, each safe to repeat after a kill. */
  install?(options: EngineInstall): ListrTask[];
  /** What can change its result beside its options: digests of files, versions of programs. Part of the cache key. */
  key?(options: TrainOrder['options'], project: Project, signal: AbortSignal): Promise<Record<string, Json>>;
}

/** Fits the model that `train.model` describes. */
export interface FittingEngine extends EngineTraits {
  readonly ownsModel?: false;
  /** Whether `train.distributed` goes with it: it then runs once in each of several processes, and is given `ranks`. */
  readonly distributed?: boolean;
  /** Losses that it cannot train by: `auto` passes it over for them. */
  readonly withoutLosses?: readonly string[];
  train(job: TrainJob): Promise<TrainOutcome>;
}

/** Brings a model of its own: `train.model` is left out. What it gives takes the inputs of the signature, and gives its outputs. */
export interface OwningEngine extends EngineTraits {
  readonly ownsModel: true;
  train(order: TrainOrder, project: Project): Promise<TrainOutcome>;
}

export type Engine = FittingEngine | OwningEngine;
