import { MaasError } from '../../../../errors.js';
import type { Model } from '../../../../ir/graph.js';
import { loadWeights } from '../../../../ir/onnx/load.js';
import { stripDropout } from '../../../../ir/rewrite.js';
import { fromNdArray, sizeOf } from '../../../../ir/tensor.js';
import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import { shareOf } from '../../schedules/index.js';
import { columnsOf, prepareBatches, rowBytes } from './batches.js';
import { keepBest, type Keeper } from './best.js';
import { openCheck, type Check } from './check.js';
import { openCheckpoints, type Standing } from './checkpoint.js';
import { compileStep, type CompiledStep } from './compile-step.js';
import { startMeter } from './meter.js';
import { engineOptions } from './options.js';
import { prepareTable } from './prepare.js';
import { shuffledRows } from './random.js';
import { pace, type Saver } from './saver.js';
import { openStepper, type State, type Stepper } from './stepper.js';
import { adaptStride } from './stride.js';

/**
 * Trains with onnxruntime: a step is one graph, and a run makes several. A job that was stopped goes on from its last
 * checkpoint and ends in the same weights, bit by bit, as one that was not.
 * @throws MaasError MAAS_TRAIN_DIVERGED when the loss or a weight is no number, MAAS_INTERRUPTED when the signal stops
 * it, MAAS_MODEL_UNSUPPORTED and MAAS_MODEL_SHAPE when the model cannot be trained.
 */
export async function train(given: TrainJob): Promise<TrainOutcome> {
  const { checkpointSeconds, stepsPerRun } = engineOptions.parse(given.options);
  const job = { ...given, model: await loadWeights(given.model) };
  const compiled = compileStep(job);
  const checkpoints = openCheckpoints(job, compiled);
  const { checkpoint, note } = await checkpoints.read();
  const stepper = await openStepper(compiled, checkpoint?.state ?? initialState(compiled), job);
  try {
    const check = await openCheck(job, compiled.parameters, job.dataset.splits.validation);
    try {
      const saver = pace(checkpoints, stepper, checkpointSeconds);
      const keeper = keepBest(job, checkpoint?.best);
      const stepsAtMost = checkpointSeconds === 0 ? 1 : stepsPerRun;
      const history = await run(
        { job, compiled, stepper, check, saver, keeper, stepsAtMost },
        checkpoint ?? beginning,
      );
      const notes = [note, checkpoint && resumed(checkpoint, job), keeper.note(history)];
      return {
        model: withWeights(job.model, compiled, keeper.best ?? stepper.state),
        history,
        notes: notes.filter((line) => line !== undefined),
      };
    } finally {
      await check.close();
    }
  } finally {
    await stepper.close();
  }
}

const beginning: Standing = { epoch: 0, batch: 0, step: 0, lossSum: 0, history: [] };

interface Run {
  readonly job: TrainJob;
  readonly compiled: CompiledStep;
  readonly stepper: Stepper;
  readonly check: Check;
  readonly saver: Saver;
  readonly keeper: Keeper;
  readonly stepsAtMost: number | undefined;
}

async function run(
  { job, compiled, stepper, check, saver, keeper, stepsAtMost }: Run,
  from: Standing,
): Promise<TrainOutcome['history']> {
  const table = job.dataset.splits.train;
  const { batchSize, epochs, seed } = job;
  const steps = Math.ceil(table.rows / batchSize);
  const inputs = await prepareTable(compiled.preparation, table, job.threads);
  const columns = columnsOf(compiled, { inputs, target: table.target });
  const take = prepareBatches(columns);
  const carried = compiled.carried.reduce((sum, { dims }) => sum + 4 * sizeOf(dims), 0);
  const stride = adaptStride({ batch: rowBytes(columns) * batchSize, carried }, stepsAtMost);
  const meter = startMeter(job, steps, (epochs - from.epoch) * table.rows - from.batch * batchSize);
  let { step, lossSum } = from;
  const history = [...from.history];
  /** @param at Counted from 1. */
  const shareAt = (at: number): number =>
    shareOf(job, { step: at - 1, steps: steps * epochs, stepsPerEpoch: steps, history });
  let over = false;
  for (let epoch = from.epoch; epoch < epochs && !over; epoch++) {
    const order = shuffledRows(table.rows, seed, epoch);
    let batch = epoch === from.epoch ? from.batch : 0;
    while (batch < steps) {
      const standing = () => ({ epoch, batch, step, lossSum, history, best: keeper.best });
      if (job.signal.aborted) {
        await saver.save(standing());
        throw interrupted(epoch);
      }
      await saver.saveIfDue(standing);
      const start = batch * batchSize;
      // The last batch may have fewer rows, and then has a run of its own.
      const whole = Math.floor((table.rows - start) / batchSize);
      const made = whole === 0 ? 1 : Math.min(whole, stride.steps);
      const rows = whole === 0 ? table.rows - start : batchSize;
      const began = performance.now();
      const losses = await stepper.run(take(order, start, [made, rows]), [made, rows], step + 1, shareAt);
      stride.took(made, performance.now() - began);
      for (let at = 0; at < made; at++) {
        if (!Number.isFinite(losses[at])) throw diverged(`the loss is ${losses[at]}`, epoch, batch + at);
        lossSum += losses[at]! * rows;
      }
      step += made;
      batch += made;
      meter.count(made * rows);
      meter.report({ epoch: epoch + 1, step: batch, loss: lossSum / (start + made * rows) });
    }
    const loss = lossSum / table.rows;
    checkFinite(stepper.state, compiled.parameters, epoch, steps - 1);
    const weights = onlyWeights(stepper.state, compiled.parameters);
    const validation = await check.run(weights);
    const rate = job.schedule && { learningRate: job.optimizer.learningRate * shareAt(step) };
    history.push({ epoch: epoch + 1, loss, ...prefixed('validation', validation), ...rate });
    over = keeper.look(history, weights);
    lossSum = 0;
    meter.report({ epoch: epoch + 1, step: steps, loss, validation });
  }
  return history;
}

function initialState({ carried }: CompiledStep): State {
  return Object.fromEntries(carried.map(({ input, initial }) => [input, initial()]));
}

function onlyWeights(state: State, parameters: readonly string[]): State {
  return Object.fromEntries(parameters.map((name) => [name, state[name]!]));
}

function prefixed(prefix: string, figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [
      `${prefix}${name[0]!.toUpperCase()}${name.slice(1)}`,
      value,
    ]),
  );
}

/** The model in its form for inference, with the weights of `state`. */
function withWeights(model: Model, { parameters }: CompiledStep, state: State): Model {
  const initializers = new Map(model.graph.initializers);
  for (const name of parameters) initializers.set(name, fromNdArray(state[name]!));
  return { ...model, graph: stripDropout({ ...model.graph, initializers }) };
}

/** The last update of an epoch shows in no loss, so the weights are looked at themselves. */
function checkFinite(state: State, parameters: readonly string[], epoch: number, batch: number): void {
  for (const name of parameters) {
    if (!(state[name]!.data as Float32Array).every(Number.isFinite)) {
      throw diverged(`weights of ${name} are no longer numbers`, epoch, batch);
    }
  }
}

function diverged(what: string, epoch: number, batch: number): MaasError {
  return new MaasError('MAAS_TRAIN_DIVERGED', `${what} at epoch ${epoch + 1}, step ${batch + 1}`, {
    details: { epoch: epoch + 1, step: batch + 1 },
  });
}

function interrupted(epoch: number): MaasError {
  return new MaasError(
    'MAAS_INTERRUPTED',
    `training was stopped in epoch ${epoch + 1}; a checkpoint is saved`,
  );
}

function resumed({ epoch, batch }: Standing, { epochs }: TrainJob): string {
  return `went on from a checkpoint: epoch ${epoch + 1} of ${epochs}, after ${batch} steps of it`;
}
