import type { ListrTask } from 'listr2';
import type { z } from 'zod';
import type { Artifact, ArtifactStore, Json } from '../artifacts/index.js';
import type { Dataset } from '../data/dataset.js';
import type { Signature } from '../data/signature.js';
import type { Place } from '../errors.js';
import type { Model } from '../ir/graph.js';
import type { NdArray } from '../ir/tensor.js';
import type { Ranks } from '../runtime/mpi.js';
import type { ProgressEvent } from './events.js';

/** Plugins state the version they were written for; maas refuses one it does not know. */
export const apiVersion = 1;

/** The project that a command works on. Read once from the config file, then frozen. */
export interface Project {
  readonly name: string;
  readonly seed: number;
  /** Folder of the config file: every path in it is relative to this. */
  readonly root: string;
  readonly configFile: string;
  /** The whole validated config, by section. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Where the value at a path is written, for error messages; projects made without a file have none. */
  readonly placeOf?: (path: readonly (string | number)[]) => Place;
}

/** What a stage's artifact gives to later stages: a `model` is a folder with model.onnx and signature.json. */
export type Kind = 'model' | 'release';

export interface StageContext<Options = unknown> {
  readonly project: Project;
  /** The stage's own section of the config. */
  readonly options: Options;
  readonly registry: Registry;
  readonly store: ArtifactStore;
  /** What the stage reads, by kind: the newest artifact of the stages before it. */
  readonly inputs: Readonly<Partial<Record<Kind, Artifact>>>;
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
}

/** A stage at work. Tasks write files into `out` and fill in `result`. */
export interface StageRun<Options = unknown> extends StageContext<Options> {
  /** Empty folder; what lies in it when the tasks have ended becomes the artifact. */
  readonly out: string;
  /** Folder that survives a kill, the same for the same cache key: checkpoints live here. Removed when the stage is done. */
  readonly work: string;
  readonly result: StageResult;
}

export interface StageResult {
  /** Reproducible figures; part of the artifact's manifest. */
  metrics: Record<string, Json>;
  /** Figures of this machine and moment (latency, durations): recorded beside the artifact, not in its digest. */
  measured: Record<string, Json>;
  /** Lines for the person who ran the stage. */
  notes: string[];
}

/** Something outside the artifact store that a stage brings about, such as switching a release. */
export interface Effect<Options = unknown> {
  /** True when the effect of `artifact` is in place already. */
  inPlace(context: StageContext<Options>, artifact: Artifact): Promise<boolean>;
  tasks(run: EffectRun<Options>): ListrTask[];
}

export interface EffectRun<Options = unknown> extends StageContext<Options> {
  readonly artifact: Artifact;
  readonly result: StageResult;
}

/** One step of the pipeline. */
export interface Stage<Options = unknown> {
  readonly name: string;
  readonly summary: string;
  /** The stage that this one follows. Built-in order: train, compress, deploy. */
  readonly after?: string;
  /** Schema of the config section that bears the stage's name. A stage runs when its section is there after defaults. */
  options(registry: Registry): z.ZodType<Options>;
  readonly reads: readonly Kind[];
  readonly writes: Kind;
  /** Raise it when the same inputs and options give another result. */
  readonly version: number;
  /**
   * The part of the options that can change the artifact. Default: all of them. What only its effect looks at (where a
   * release goes) makes it no other artifact.
   */
  artifactOptions?(options: Options): unknown;
  /** What else can change the result, beside options, inputs, seed and version: data digests, CPU features, … */
  key?(context: StageContext<Options>): Promise<Record<string, Json>>;
  tasks(run: StageRun<Options>): ListrTask[];
  readonly effect?: Effect<Options>;
}

// ————— services —————

/** A stage that runs until it is stopped and leaves nothing behind: `maas serve`. */
export interface Service<Options = unknown> {
  readonly name: string;
  readonly summary: string;
  /** Schema of the config section that bears the service's name. */
  options(registry: Registry): z.ZodType<Options>;
  /** Resolves when the service is ready for requests. */
  start(context: ServiceContext<Options>): Promise<RunningService>;
}

export interface ServiceContext<Options = unknown> {
  readonly options: Options;
  readonly registry: Registry;
  /** A release folder. With `follow` it is a link that is watched, and the service goes over to where it points next. */
  readonly release: { readonly path: string; readonly follow: boolean };
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
}

export interface RunningService {
  readonly url: string;
  readonly model: string;
  readonly digest: string;
  /** Stops taking requests, answers those under way, then resolves. */
  stop(): Promise<void>;
}

// ————— engines —————

/** A training of the model that the config describes. */
export interface TrainJob extends TrainOrder {
  /** The forward graph with its initial weights; takes raw features, gives the outputs of the signature. */
  readonly model: Model;
  /** Initializers that training may change. */
  readonly trainable: readonly string[];
  /** The value that the loss looks at: class probabilities or a regression's prediction. */
  readonly prediction: string;
}

/** What every engine is told, whoever brings the model. */
export interface TrainOrder {
  readonly dataset: Dataset;
  readonly loss: { readonly name: string; readonly [option: string]: unknown };
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
  /** Folder for checkpoints; a job started again with the same folder goes on where it stopped. */
  readonly work: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TrainProgress) => void;
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

interface EngineTraits {
  readonly name: string;
  readonly summary: string;
  /** Schema of the engine's own options in `train.engine: {name: options}`; without one it takes none. */
  readonly options?: z.ZodType;
  /** Why the engine cannot run here, or undefined when it can. */
  unavailable?(): Promise<{ reason: string; hint: string } | undefined>;
  /** What can change its result beside its options: digests of files, versions of programs. Part of the cache key. */
  key?(options: TrainOrder['options'], project: Project, signal: AbortSignal): Promise<Record<string, Json>>;
}

/** Fits the model that `train.model` describes. */
export interface FittingEngine extends EngineTraits {
  readonly ownsModel?: false;
  /** Whether `train.distributed` goes with it: it then runs once in each of several processes, and is given `ranks`. */
  readonly distributed?: boolean;
  train(job: TrainJob): Promise<TrainOutcome>;
}

/** Brings a model of its own: `train.model` is left out. What it gives takes the inputs of the signature, and gives its outputs. */
export interface OwningEngine extends EngineTraits {
  readonly ownsModel: true;
  train(order: TrainOrder, project: Project): Promise<TrainOutcome>;
}

export type Engine = FittingEngine | OwningEngine;

// ————— passes —————

export interface PassContext {
  readonly signature: Signature;
  /** Held-back rows that a pass may look at (the validation split); loaded on demand. */
  calibration(): Promise<Dataset>;
  readonly seed: number;
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

// ————— targets —————

export interface Release {
  readonly digest: string;
  /** Folder of the whole release: manifest.json, model.onnx, signature.json, golden.json. */
  readonly path: string;
}

export interface TargetContext<Options = unknown> {
  readonly project: Project;
  readonly options: Options;
  readonly keep: number;
  readonly signal: AbortSignal;
  /** Starts `release` on a spare port of this machine, replays its golden inputs, stops it. Throws MAAS_VERIFY_FAILED. */
  verify(
    release: Release,
    onNote?: (note: string) => void,
  ): Promise<{ readyMs: number; rows: number; maxError: number }>;
}

export interface ReleaseRecord {
  readonly digest: string;
  readonly current: boolean;
  /** ISO 8601, when it was last switched to. */
  readonly deployedAt: string | undefined;
}

/** A place where releases run. `deploy` brings `release` there whole or not at all. */
export interface Target<Options = unknown> {
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  current(context: TargetContext<Options>): Promise<string | undefined>;
  /** Path of the link to the current release, for targets whose releases `maas serve` runs on this machine. */
  link?(context: TargetContext<Options>): string;
  /** Steps in order; each is safe to repeat after a kill. */
  steps(context: TargetContext<Options>, release: Release): readonly TargetStep[];
  list(context: TargetContext<Options>): Promise<readonly ReleaseRecord[]>;
  /** Goes back `count` releases; returns the digest that is current then. */
  rollback(context: TargetContext<Options>, count: number): Promise<string>;
}

export interface TargetStep {
  readonly title: string;
  run(note: (text: string) => void): Promise<void>;
}

// ————— protocols —————

export interface ServedModel {
  readonly name: string;
  /** The release's digest. */
  readonly version: string;
  readonly signature: Signature;
  predict(inputs: Readonly<Record<string, NdArray>>): Promise<Record<string, NdArray>>;
}

export interface ServeHost {
  readonly projectName: string;
  readonly ready: boolean;
  readonly live: boolean;
  models(): readonly ServedModel[];
  model(name: string, version?: string): ServedModel | undefined;
}

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** Model that answered, for the metrics. */
  readonly model?: Pick<ServedModel, 'name' | 'version'>;
}

/** A wire protocol over HTTP. `handle` returns undefined for paths that are not its own. */
export interface Protocol {
  readonly name: string;
  readonly summary: string;
  handle(request: HttpRequest, host: ServeHost): Promise<HttpResponse> | undefined;
}

// ————— registration —————

/** What a plugin answers to the `maas:register` hook. */
export interface Registration {
  readonly apiVersion: number;
  readonly stages?: readonly Stage[];
  readonly engines?: readonly Engine[];
  readonly passes?: readonly Pass[];
  readonly targets?: readonly Target[];
  readonly protocols?: readonly Protocol[];
  readonly services?: readonly Service[];
}

/** Everything that is registered, built-in and third-party alike, by name. */
export interface Registry {
  /** In pipeline order. */
  readonly stages: readonly Stage[];
  readonly engines: ReadonlyMap<string, Engine>;
  readonly passes: ReadonlyMap<string, Pass>;
  readonly targets: ReadonlyMap<string, Target>;
  readonly protocols: ReadonlyMap<string, Protocol>;
  readonly services: ReadonlyMap<string, Service>;
}

// The definers keep the options' type inside a definition and widen it outside.

export function defineStage<Options>(stage: Stage<Options>): Stage {
  return stage;
}
export function defineService<Options>(service: Service<Options>): Service {
  return service;
}
export function defineEngine<E extends Engine>(engine: E): E {
  return engine;
}
export function definePass<Options>(pass: Pass<Options>): Pass {
  return pass;
}
export function defineTarget<Options>(target: Target<Options>): Target {
  return target;
}
export function defineProtocol(protocol: Protocol): Protocol {
  return protocol;
}
