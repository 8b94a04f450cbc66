import { MaasError } from '../../../../errors.js';
import { useBatchStatistics } from '../../../../ir/batch-statistics.js';
import { GraphBuilder } from '../../../../ir/builder.js';
import { clipGradients } from '../../../../ir/clipping.js';
import { gradients } from '../../../../ir/gradient.js';
import type { Model, Node } from '../../../../ir/graph.js';
import { optimizers, type OptimizerOptions } from '../../../../ir/optimizers.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { allocate, sizeOf, type NdArray } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { augmentedInputs } from './augment.js';
import { feedDropout, type Mask } from './dropout.js';
import { averageOf, averageScalars, carryAverage } from './average.js';
import { foldProducts } from './fold-products.js';
import { choose, emitLoss, forwardOf, openWeights, weightOf, type TargetInputs } from './forward.js';
import { fuseBias } from './fuse-bias.js';
import { gatherGradients, gathers, gatherScalars } from './gather-gradients.js';
import { liftMasks } from './lift-masks.js';
import { partFrozen } from './prepare.js';
import { planTurns, type Turns } from './turns.js';
import { compileUpdates, type UpdateKernel } from './update-kernels.js';
import { emitUpdates, type UpdateRule } from './update.js';

/** A tensor that one step hands on to the next: a weight, under its name, or what the optimizer remembers of it. */
export interface Carried {
  readonly input: string;
  readonly output: string;
  readonly dims: readonly number[];
  /** What it begins with: made anew at each call, for the caller to give away. */
  readonly initial: () => NdArray<'float32'>;
  /** The number that it is filled with then, where it is the same everywhere. */
  readonly fill?: number;
}

/** Forward, loss, backward and update as one graph. */
export interface CompiledStep {
  readonly model: Model;
  /** What is computed once for each row; its outputs are columns like those of the data. */
  readonly preparation: Model | undefined;
  /** Columns that the graph reads. */
  readonly inputs: readonly string[];
  readonly targets: TargetInputs;
  readonly loss: string;
  /** The loss's slope along each weight, before clipping, by weight. */
  readonly slopes: ReadonlyMap<string, string>;
  /** What ends up in the model: weights, and running statistics of batch normalization. */
  readonly parameters: readonly string[];
  /** Where the weights are that count: the parameter itself, or what is carried as the average of it. */
  readonly counted: Readonly<Record<string, string>>;
  /** The parameters, their slots, and what is gathered of gradients and averages. */
  readonly carried: readonly Carried[];
  readonly masks: readonly Mask[];
  /** The updates of weights as kernels, where these can do what the graph's last part does; for each weight one. */
  readonly kernels: readonly UpdateKernel[] | undefined;
  /** Which batches make an update together. */
  readonly turns: Turns;
  /** Inputs that hold the scalars of a step, by scalar. */
  readonly scalars: Readonly<Record<string, string>>;
  /**
   * @param step Counted from 1.
   * @param share Of the job's learning rate, as its schedule has it for this step.
   */
  scalarsAt(step: number, share?: number): Readonly<Record<string, number>>;
}

/**
 * Compiles a job to the graph of one training step.
 * @param how.kernels Whether the weights are updated by kernels, as far as there are any for the job.
 * @param how.block Size of onnxruntime's blocks of channels, which gradients may then use.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED when the model cannot be trained, MAAS_MODEL_SHAPE when it does not fit the
 * data or the loss.
 */
export function compileStep(
  job: TrainJob,
  how: { readonly kernels?: boolean; readonly block?: number | undefined } = {},
): CompiledStep {
  const optimizer = choose(optimizers, job.optimizer.name, 'optimizer');
  const options = { ...optimizer.defaults, ...onlySettings(job.optimizer) };
  const { graph: fed, masks } = feedDropout(fuseBias(forwardOf(job)));
  const weights = job.trainable.filter((name) => fed.initializers.has(name));
  const { graph, running } = useBatchStatistics(fed, (node) => isFrozen(node, weights));
  const parameters = [...weights, ...running.map(({ name }) => name)];
  const noise = masks.map(({ name }) => name);
  const open = new Set([...parameters, ...noise]);
  const kept = { ...graph, outputs: [...graph.outputs, ...running.map(({ next }) => ({ name: next }))] };
  // What is another each time cannot be prepared once.
  const changing = new Set([...open, ...augmentedInputs(job)]);
  const { preparation, rest } = partFrozen(kept, changing, job.dataset.splits.train);
  // Averages of statistics are no kernels' matter.
  const averagesAll = job.ema !== undefined && running.length > 0;
  const outside = how.kernels === true && !gathers(job) && !averagesAll && optimizer.looksAtWhole !== true;
  const g = new GraphBuilder(openWeights(rest, parameters, !outside));
  // Examples are channels in some gradients: a batch should fill a block of them.
  g.block = job.batchSize >= (how.block ?? Infinity) ? how.block : undefined;
  const { targets, loss } = emitLoss(g, job);
  const slopes = gradients(g, loss, weights);
  if (slopes.size === 0) {
    throw new MaasError(
      'MAAS_MODEL_UNSUPPORTED',
      'the loss does not depend on any weight that may be trained',
      {
        hint: 'Check which layers are frozen.',
      },
    );
  }
  const turns = planTurns(job);
  const scalarsAt = (step: number, share = 1): Record<string, number> => {
    const turn = turns.at(step);
    const learningRate = Number(options['learningRate']) * share;
    return {
      ...optimizer.scalars({ ...options, learningRate }, turn.update),
      ...(job.ema && averageScalars(job.ema, turn)),
      ...(gathers(job) && gatherScalars(turn)),
    };
  };
  const scalars = Object.fromEntries(
    Object.keys(scalarsAt(1)).map((key) => [key, g.input(g.unique(key), 'float32', [])]),
  );
  const undecayed = (job.optimizer['excludeFromWeightDecay'] as readonly string[] | undefined) ?? [];
  const rule = { optimizer, options, undecayed, scalars, averages: job.ema !== undefined };
  let clipped: ReadonlyMap<string, string> = new Map();
  const emitAll = (b: GraphBuilder, found: ReadonlyMap<string, string>): Carried[] => {
    clipped = clipGradients(b, found, job.clip ?? {});
    const each = weights.map((parameter) => ({
      parameter,
      gradient: clipped.get(parameter),
      initial: weightOf(graph, parameter),
    }));
    const updated = update(g, b, each, rule);
    if (!rule.averages) return updated;
    // Averaged weights go with averaged statistics.
    const averages = moved.map((statistic) => carryAverage(g, b, statistic, statistic.output, scalars));
    return [...updated, ...averages];
  };
  const moved = running.map(({ name, next }): Carried => {
    const initial = weightOf(graph, name);
    return {
      input: name,
      output: next,
      dims: initial.dims,
      initial: () => ({ ...initial, data: initial.data.slice() }),
    };
  });
  const updated = gathers(job) ? gatherGradients(g, slopes, scalars, emitAll) : emitAll(g, slopes);
  const carried = [...updated, ...moved];
  const kernels = outside ? compileUpdates(g, clipped, rule) : undefined;
  g.output(loss);
  for (const { output } of carried) g.output(output);
  return {
    model: { ...job.model, graph: foldProducts(liftMasks(removeDead(g.build()), job.model.opsets[''])) },
    preparation: preparation && { ...job.model, graph: preparation },
    inputs: rest.inputs.map(({ name }) => name).filter((name) => !noise.includes(name)),
    targets,
    loss,
    slopes,
    parameters,
    counted: Object.fromEntries(parameters.map((name) => [name, averageOf(carried, name) ?? name])),
    carried,
    masks,
    kernels,
    turns,
    scalars,
    scalarsAt,
  };
}

/** A normalization whose scale and offset stay as they are keeps the statistics that it has learnt, too. */
function isFrozen({ inputs: [, scale, offset] }: Node, weights: readonly string[]): boolean {
  return !weights.includes(scale!) && !weights.includes(offset!);
}

export interface Rule extends UpdateRule {
  readonly scalars: Readonly<Record<string, string>>;
  /** Whether an average of the weights is carried along. */
  readonly averages: boolean;
}

interface Weight {
  readonly parameter: string;
  readonly gradient: string | undefined;
  readonly initial: NdArray<'float32'>;
}

/** Emits into `b`, which is the graph of the step or one inside it; what is carried comes in as inputs of `g`. */
function update(g: GraphBuilder, b: GraphBuilder, weights: readonly Weight[], rule: Rule): Carried[] {
  const first = rule.optimizer.slots(rule.options);
  const declared = weights.map(({ parameter, gradient }) => {
    if (gradient === undefined) return undefined;
    const dims = g.shapeOf(parameter);
    const slots = Object.keys(first).map(
      (slot) => [slot, g.input(g.unique(`${parameter}.${slot}`), 'float32', dims)] as const,
    );
    return { parameter, gradient, slots: Object.fromEntries(slots), scalars: rule.scalars };
  });
  const updates = declared.filter((each) => each !== undefined);
  const parted = updates.filter(
    (each) =>
      g.rankOf(each.parameter) >
      weights.find(({ parameter }) => parameter === each.parameter)!.initial.dims.length,
  );
  const updated = emitUpdates(b, updates, rule, new Set(parted));
  return weights.flatMap(({ parameter, initial }, at) => {
    const dims = g.shapeOf(parameter).map(Number);
    const weight = {
      input: parameter,
      dims,
      initial: () => ({ ...initial, dims, data: initial.data.slice() }),
    };
    const made = declared[at];
    // What does not move the loss stays as it is.
    if (!made) return [{ ...weight, output: b.op('Identity', [parameter]) }];
    const next = updated[updates.indexOf(made)]!;
    return [
      { ...weight, output: next.parameter },
      ...Object.entries(made.slots).map(([slot, input]) => ({
        input,
        output: next.slots[slot]!,
        dims,
        fill: first[slot]!,
        initial: () => ({ ...initial, dims, data: allocate('float32', sizeOf(dims)).fill(first[slot]!) }),
      })),
      ...(rule.averages ? [carryAverage(g, b, weight, next.parameter, rule.scalars)] : []),
    ];
  });
}

function onlySettings(options: Readonly<Record<string, unknown>>): OptimizerOptions {
  const usable = (entry: [string, unknown]): entry is [string, number | boolean] =>
    typeof entry[1] === 'number' || typeof entry[1] === 'boolean';
  return Object.fromEntries(Object.entries(options).filter(usable));
}
