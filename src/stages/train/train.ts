import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import type { Json } from '../../artifacts/index.js';
import { placeIn, type ConfigPath } from '../../config/index.js';
import { loadDataset, type DataConfig, type Dataset } from '../../data/index.js';
import { asDiskError, MaasError } from '../../errors.js';
import { isOfAll } from '../../evaluate/figures.js';
import { confusionsOf, predict, score } from '../../evaluate/index.js';
import { saveModel } from '../../ir/onnx/save.js';
import { stripDropout } from '../../ir/rewrite.js';
import type { FittingEngine, StageRun, TrainOrder, TrainOutcome, TrainProgress } from '../../plugin/api.js';
import { buildModel, type Draft } from './build-model.js';
import { checkCausal } from './check-causal.js';
import { checkTrunk } from './check-trunk.js';
import { chooseEngine, placesOf, type ChosenEngine } from './choose-engine.js';
import type { TrainOptions } from './config.js';
import { adoptModel } from './fine-tune/adopt-model.js';
import type { Ranks } from '../../runtime/mpi/join-ranks.js';
import { sizeOf, type Distributed } from './distributed/config.js';
import { trainTogether } from './distributed/launch.js';
import { leadWorld } from './distributed/outer.js';
import { sourceOf } from './fine-tune/config.js';
import type { CrossValidation } from './folds/cross-validate.js';
import { explainFreeze } from './fine-tune/explain-freeze.js';
import { openFile } from './fine-tune/open-file.js';
import { expectMatches } from './fine-tune/select-weights.js';
import { checkGateNames, checkGates } from './gates.js';
import { openRunLog } from './run-log/open-run-log.js';
import { resolveFit } from './resolve-fit.js';

/** The stage at work; or one of several processes that fit its model, which writes no artifact. */
export interface TrainingRun
  extends
    Pick<StageRun<TrainOptions>, 'project' | 'options' | 'registry' | 'work' | 'signal' | 'emit' | 'result'>,
    Partial<Pick<StageRun, 'out' | 'store' | 'world'>> {
  readonly ranks?: Ranks;
  /** Of several trainings of a stage, which one: the name of its folder among the checkpoints and the logs. */
  readonly part?: string;
}

/** A training under way. Its methods are called once each, in order. */
export class Training {
  #draft: Draft | undefined;
  #outcome: TrainOutcome | undefined;

  private constructor(
    private readonly run: TrainingRun,
    readonly dataset: Dataset,
    private readonly chosen: ChosenEngine,
  ) {}

  /** The engine, and why it was chosen where the config leaves that to maas. */
  get engineNote(): string | undefined {
    return noteOf(this.chosen);
  }

  /**
   * Reads the data.
   * @param held The fold that is held out, where the config asks for folds; by default all of them are trained on.
   * @throws MaasError MAAS_ENGINE_MISSING when the engine cannot run here, and what `loadDataset` throws.
   */
  static async open(run: TrainingRun, held?: number): Promise<Training> {
    const { project, options, registry, signal, result } = run;
    // First, because everything else would be for nothing.
    const chosen = await chooseEngine(options, registry, project);
    const missing = await chosen.engine.unavailable?.(placesOf(project));
    if (missing) {
      throw new MaasError(
        'MAAS_ENGINE_MISSING',
        `the ${chosen.engine.name} engine cannot run: ${missing.reason}`,
        {
          place: placeIn(project, ['train', 'engine']),
          hint: missing.hint,
        },
      );
    }
    const { root, seed, name, config } = project;
    const dataset = await loadDataset(config['data'] as DataConfig, {
      root,
      seed,
      name,
      signal,
      placeOf: (path) => placeIn(project, path),
      ...(options.folds !== undefined && { fold: { count: options.folds, held } }),
    });
    checkGateNames(options.gates, dataset.signature, project);
    const source = options.model && sourceOf(options.model);
    if (dataset.signature.reconstructs && (chosen.engine.ownsModel || source)) {
      const path = source ? ['train', 'model', source.key] : ['train', 'engine'];
      throw new MaasError('MAAS_CONFIG_INVALID', 'rows are reconstructed by layers or a preset', {
        place: placeIn(project, path),
        hint: 'Write preset: autoencoder, or choose another data.task.',
      });
    }
    if (dataset.signature.others && (chosen.engine.ownsModel || source)) {
      const path = source ? ['train', 'model', source.key] : ['train', 'engine'];
      throw new MaasError('MAAS_CONFIG_INVALID', 'several targets are for layers or a preset', {
        place: placeIn(project, path),
        hint: 'Write preset: mlp, or name one column under data.target.',
      });
    }
    if (options.augment && dataset.signature.features.every(({ type }) => type !== 'image')) {
      throw new MaasError('MAAS_DATA_COLUMN', 'train.augment changes images, and the data has none', {
        place: placeIn(project, ['train', 'augment']),
        hint: 'Remove augment, or say under data.types which column has the paths of images.',
      });
    }
    result.notes.push(...(dataset.notes ?? []));
    const note = noteOf(chosen);
    if (note !== undefined) {
      result.notes.push(note);
      result.measured['engine'] = { name: chosen.engine.name, reason: chosen.reason! };
    }
    return new Training(run, dataset, chosen);
  }

  /**
   * Builds the model with its first weights, or takes it from its file; returns how many weights are trained.
   * @throws MaasError MAAS_MODEL_SHAPE when it does not fit the data, MAAS_MODEL_INVALID when the file is no model.
   */
  async build(): Promise<number> {
    const { options, project, result } = this.run;
    const { preset, layers, inputs } = options.model!;
    const source = sourceOf(options.model!);
    const place = (path: ConfigPath) => placeIn(project, path);
    const at = { seed: project.seed, place, ...(inputs && { inputs }) };
    this.#draft =
      source === undefined
        ? buildModel((preset ?? layers)!, this.dataset, at)
        : adoptModel(await openFile(project, source), options.model!, this.dataset, at);
    result.notes.push(...(this.#draft.notes ?? []));
    const { model, trainable } = this.#draft;
    this.checkDecay(trainable);
    checkTrunk(this.#draft, options.loss, this.dataset.signature, place);
    const sizes = trainable.map((name) => model.graph.initializers.get(name)!.dims);
    return sizes.reduce((sum, dims) => sum + dims.reduce((product, dim) => product * dim, 1), 0);
  }

  /** @throws MaasError MAAS_CONFIG_INVALID when what is not to decay is no weight of the model. */
  private checkDecay(trainable: readonly string[]): void {
    const { name, options } = this.run.options.optimizer;
    const key = 'excludeFromWeightDecay';
    const { [key]: patterns = [] } = options as { readonly [key]?: readonly string[] };
    expectMatches(trainable, patterns, (index) =>
      placeIn(this.run.project, ['train', 'optimizer', name, key, index]),
    );
  }

  /** The optimizer that the config names, with its learning rate. */
  get optimizer(): TrainOrder['optimizer'] {
    return this.order().optimizer;
  }

  /**
   * Fits the weights with the engine that the config names.
   * @param changes To what the config says.
   */
  async fit(
    onProgress: (progress: TrainProgress) => void,
    changes: Partial<TrainOrder> = {},
  ): Promise<TrainOutcome> {
    const { options, project, store, emit, result, ranks, part } = this.run;
    const { work } = this;
    const series = part === undefined ? 'train' : join('train', basename(this.run.work).slice(0, 12));
    await mkdir(work, { recursive: true });
    const log = ranks ? undefined : await openRunLog({ store: store!, work }, series, options.logSteps);
    if (log) result.measured['runLog'] = relative(project.root, log.path);
    const order: TrainOrder = {
      ...this.order(),
      ...changes,
      ...(log && { log: log.path }),
      onProgress: (progress) => {
        emit({ event: 'train-progress', ...(part !== undefined && { part }), ...progress });
        log?.add(progress);
        onProgress(progress);
      },
    };
    const { engine } = this.chosen;
    if (options.epochs === 0) this.#outcome = asItIs(this.#draft!);
    else if (options.distributed && !ranks)
      this.#outcome = await this.fitTogether(order, options.distributed);
    else if (engine.ownsModel) this.#outcome = await engine.train(order, project);
    else this.#outcome = await this.fitDraft(engine, order, this.#draft!);
    result.notes.push(...(this.#outcome.notes ?? []), ...(log?.trouble === undefined ? [] : [log.trouble]));
    return this.#outcome;
  }

  /**
   * Fits the model as it was drafted under orders that differ; nothing comes of it.
   * @throws MaasError MAAS_USAGE for an engine that brings its own model.
   */
  async attempt(changes: Partial<TrainOrder>): Promise<void> {
    const { engine } = this.chosen;
    if (engine.ownsModel) {
      throw new MaasError('MAAS_USAGE', `the ${engine.name} engine brings a model of its own`, {
        hint: 'What it trains is its own matter: try its options there.',
      });
    }
    await this.fitDraft(engine, { ...this.order(), ...changes }, this.#draft!);
  }

  private get work(): string {
    const { work, part } = this.run;
    return part === undefined ? work : join(work, part);
  }

  private order(): TrainOrder {
    const { options, project, signal, ranks } = this.run;
    return {
      dataset: this.dataset,
      ...resolveFit(options, this.dataset, project),
      epochs: options.epochs,
      batchSize: options.batchSize,
      accumulate: options.accumulate,
      ...(options.ema && { ema: options.ema }),
      ...(options.augment && { augment: options.augment }),
      seed: project.seed,
      threads: options.threads,
      options: this.chosen.options as TrainOrder['options'],
      work: this.work,
      places: placesOf(project),
      signal,
      ...(ranks && { ranks }),
      onProgress: () => undefined,
    };
  }

  /** With processes that were started with this one, or else with new ones. */
  private async fitTogether(order: TrainOrder, distributed: Distributed): Promise<TrainOutcome> {
    const { options, project, result, world } = this.run;
    const size = sizeOf(distributed);
    if (size > order.batchSize) {
      result.notes.push(`${size} ranks share batches of ${order.batchSize} rows: some have none`);
    }
    if (!world) return trainTogether(order, options, project);
    const engine = this.chosen.engine as FittingEngine;
    return leadWorld(world, order, distributed, (given) => this.fitDraft(engine, given, this.#draft!));
  }

  private async fitDraft(engine: FittingEngine, order: TrainOrder, draft: Draft): Promise<TrainOutcome> {
    const { model, trainable, prediction, amounts, others, steps } = draft;
    await checkCausal(draft, this.dataset, placeIn(this.run.project, ['train', 'model']));
    try {
      const job = { ...order, model, trainable, prediction };
      return await engine.train({
        ...job,
        ...(amounts && { amounts }),
        ...(others && { others }),
        ...(steps && { steps }),
      });
    } catch (error) {
      throw explainFreeze(error, draft, placeIn(this.run.project, ['train', 'model']));
    }
  }

  /** Keeps what the folds gave with the model. */
  async noteFolds({ folds, spreads, notes }: CrossValidation): Promise<void> {
    const { result } = this.run;
    result.notes.push(...notes);
    result.metrics['folds'] = { count: folds.length, ...spreads };
    await this.writeJson('folds.json', { schemaVersion: 1, folds });
  }

  /** Writes the model, what it takes and gives, and how training went. */
  async write(): Promise<void> {
    const { model, history } = this.#outcome!;
    await saveModel(model, this.modelPath);
    await this.writeJson('signature.json', this.dataset.signature);
    if (this.dataset.schema) await this.writeJson('schema.json', this.dataset.schema);
    await this.writeJson('history.json', { schemaVersion: 1, epochs: history });
  }

  /**
   * Measures the written model on rows that it was not trained on, and holds it to the gates.
   * @throws MaasError MAAS_GATE_FAILED
   */
  async evaluate(): Promise<Readonly<Record<string, number>>> {
    const { run, dataset } = this;
    const { signature, splits } = dataset;
    const predictions = await predict(this.modelPath, splits.test, signature);
    const test = score(predictions, splits.test, signature);
    const confusion = confusionsOf(predictions, splits.test, signature);
    const rows = Object.fromEntries(Object.entries(splits).map(([name, table]) => [name, table.rows]));
    const metrics: Record<string, Json> = { ...test, ...(await this.validate()), rows };
    Object.assign(run.result.metrics, metrics, confusion && { confusion });
    checkGates(run.options.gates, test, run.project);
    return test;
  }

  /** Figures of the validation split, if there is one. */
  private async validate(): Promise<Record<string, Json>> {
    const { signature, splits } = this.dataset;
    if (splits.validation.rows === 0) return {};
    const held = await predict(this.modelPath, splits.validation, signature);
    const figures = Object.entries(score(held, splits.validation, signature));
    return { validation: Object.fromEntries(figures.filter(([name]) => isOfAll(name))) };
  }

  private get modelPath(): string {
    return join(this.run.out!, 'model.onnx');
  }

  private async writeJson(name: string, value: unknown): Promise<void> {
    try {
      await writeFile(join(this.run.out!, name), `${JSON.stringify(value, undefined, 2)}\n`);
    } catch (error) {
      throw asDiskError(error, `cannot write ${name}`);
    }
  }
}

/** The model of a file, adapted to the data and not trained. */
function asItIs({ model }: Draft): TrainOutcome {
  const graph = stripDropout(model.graph);
  return { model: { ...model, graph }, history: [], notes: ['the model is not trained: epochs is 0'] };
}

const noteOf = ({ engine, reason }: ChosenEngine): string | undefined =>
  reason === undefined ? undefined : `auto chose the ${engine.name} engine: ${reason}`;
