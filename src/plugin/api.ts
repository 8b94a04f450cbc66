import type { ListrTask } from 'listr2';
import type { z } from 'zod';
import type { Artifact, ArtifactStore, Json } from '../artifacts/index.js';
import type { Port, Signature } from '../data/signature.js';
import type { Place } from '../errors.js';
import type { NdArray } from '../ir/tensor.js';
import type { World } from '../runtime/mpi/world.js';
import type { SpareThread } from '../runtime/thread/spare-thread.js';
import type { Engine } from './engine.js';
import type { ProgressEvent } from './events.js';
import type { Pass } from './pass.js';

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
  /** `KEY=VALUE` that the command line says instead of the file, for commands that maas starts. */
  readonly overrides?: readonly string[];
  /** maas' own folder of this user, for what it installs and downloads; projects made without a command have none. */
  readonly cache?: string;
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
  /** Processes that mpirun or srun has started with this one, which is their rank 0. */
  readonly world?: World;
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
  /** Folder that paths of the options are relative to. Default: the one that the process is in. */
  readonly root?: string;
  /** Folder for what can be made again. Without one the service keeps nothing of the kind. */
  readonly cache?: string;
  readonly source: ModelSource;
  /** A thread that was started ahead of all this, for the first model that wants one. Whoever started it closes it. */
  readonly spare?: SpareThread;
  /** What starts a process that serves the same in the same way, without a word: with it the service may be several. */
  readonly beside?: { readonly script: string; readonly args: readonly string[] };
  /** True in a process that was started so. */
  readonly isPart?: boolean;
  readonly signal: AbortSignal;
  readonly emit: (event: ProgressEvent) => void;
}

/**
 * What to serve: the folder of a release, any ONNX file, or a folder with a folder for each model and in it one for each
 * version. With `follow` the path is watched, and the service goes over to what it holds or points to next.
 */
export interface ModelSource {
  readonly kind: 'release' | 'file' | 'repository';
  readonly path: string;
  readonly follow: boolean;
}

export interface RunningService {
  readonly url: string;
  readonly model: string;
  readonly digest: string;
  /** Rejects once it cannot go on, and has stopped; never resolves. */
  readonly failed?: Promise<never>;
  /** Stops taking requests, answers those under way, then resolves. */
  stop(): Promise<void>;
}

// ————— engines —————

export * from './engine.js';
export type * from './trainer.js';

// ————— passes —————

export type * from './pass.js';

// ————— targets —————

export interface Release {
  readonly digest: string;
  /** Folder of the whole release: manifest.json, model.onnx, signature.json, golden.json, reference.json. */
  readonly path: string;
}

export interface TargetContext<Options = unknown> {
  readonly project: Project;
  readonly options: Options;
  readonly keep: number;
  readonly signal: AbortSignal;
  /** How a release is to be tried on part of the requests before it gets all; only for targets that say that they can. */
  readonly canary?: CanaryOptions | undefined;
  /** To be told the figures of a trial. */
  readonly onCanary?: (figures: Readonly<Record<string, number>>) => void;
  /** Starts `release` on a spare port of this machine, replays its golden inputs, stops it. Throws MAAS_VERIFY_FAILED. */
  verify(
    release: Release,
    onNote?: (note: string) => void,
  ): Promise<{ readyMs: number; rows: number; maxError: number }>;
}

/** See `deploy.canary` of the config. */
export interface CanaryOptions {
  /** From 0 to 100. */
  readonly percent: number;
  readonly requests: number;
  readonly minutes: number;
  readonly giveUpMinutes: number;
  /** From 0 to 1. */
  readonly maxErrorRate: number;
  readonly maxLatencyRatio: number;
  /** From 0 to 1. */
  readonly maxDifferentRate?: number | undefined;
  readonly shadow: boolean;
  readonly sticky?: string | undefined;
  readonly url?: string | undefined;
}

/** One of the things that `maas deploy --verify` looks at. */
export interface Check {
  readonly name: string;
  /** Skipped: it could not be looked at, and need not be. */
  readonly state: 'ok' | 'skipped' | 'failed';
  /** What was found. */
  readonly detail: string;
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
  /** What it can do of `deploy.canary`; a target without it cannot try a release on part of the requests. */
  readonly canary?: readonly ('split' | 'shadow')[];
  current(context: TargetContext<Options>): Promise<string | undefined>;
  /** Path of the link to the current release, for targets whose releases `maas serve` runs on this machine. */
  link?(context: TargetContext<Options>): string;
  /** Steps in order; each is safe to repeat after a kill. */
  steps(context: TargetContext<Options>, release: Release): readonly TargetStep[];
  /** What bringing `release` there would change beyond its files, a line each; changes nothing. */
  plan?(context: TargetContext<Options>, release: Release): Promise<readonly string[]>;
  /**
   * Asks what runs there whether it is this release, which is the current one; changes nothing. `path` is its folder, where one is
   * at hand.
   */
  inspect?(
    context: TargetContext<Options>,
    release: { readonly digest: string; readonly path?: string | undefined },
  ): Promise<readonly Check[]>;
  list(context: TargetContext<Options>): Promise<readonly ReleaseRecord[]>;
  /** Removes all but the newest `context.keep` releases, the current one and the one before it; returns how many. */
  prune(context: TargetContext<Options>): Promise<number>;
  /** Goes back `count` releases; returns the digest that is current then. */
  rollback(context: TargetContext<Options>, count: number): Promise<string>;
}

export interface TargetStep {
  readonly title: string;
  run(note: (text: string) => void): Promise<void>;
}

// ————— protocols —————

/** How urgent a request is. */
export interface Urgency {
  /** From 1, the most urgent, to 10. Default 5. */
  readonly priority?: number;
  /** Until when its run must have begun, by the clock of `performance.now()`; it is not run after that. */
  readonly deadline?: number;
}

export interface ServedModel {
  readonly name: string;
  /** A release's digest; of other models, the name of the version's folder, or 1. */
  readonly version: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** What models that maas trained say of their features; any other takes tensors only. */
  readonly signature: Signature | undefined;
  /** False while it cannot run: none of its workers is up. */
  readonly ready: boolean;
  predict(inputs: Readonly<Record<string, NdArray>>, urgency?: Urgency): Promise<Record<string, NdArray>>;
}

export interface ServeHost {
  readonly projectName: string;
  readonly ready: boolean;
  readonly live: boolean;
  /** The models that are loaded, the version that is asked for by name alone first. */
  models(): readonly ServedModel[];
  /**
   * The model of this name: that version of it, one by an alias, or the one that is served without a version. A model that
   * lies on disk is loaded first.
   */
  model(
    name: string | undefined,
    version?: string,
  ): ServedModel | undefined | Promise<ServedModel | undefined>;
  /** All that can be asked for, loaded or not. */
  index(): readonly ModelStatus[];
  /** Loads what lies on disk under this name, or makes it go. Undefined where models come and go by deploying alone. */
  readonly repository: Repository | undefined;
}

/** Of one version of a model; states by the names of the Open Inference Protocol's model repository extension. */
export interface ModelStatus {
  readonly name: string;
  readonly version: string;
  readonly state: 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';
  readonly reason: string;
}

/** Each resolves when it is done. */
export interface Repository {
  load(name: string): Promise<void>;
  unload(name: string): Promise<void>;
}

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Its memory serves another request once this one is answered and its runs have ended: what is kept for longer is to be copied. */
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
  /** Sections of the config that the command does not read, and whose stages are left out. */
  readonly unread?: readonly string[];
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
  /** Sections of the config that may hold anything: the command does not read them. */
  readonly unread?: readonly string[];
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
