import { MaasError } from '../../../../errors.js';
import type { Column } from '../../../../data/dataset.js';
import type { Model } from '../../../../ir/graph.js';
import { loadWeights } from '../../../../ir/onnx/load.js';
import { stripDropout } from '../../../../ir/rewrite.js';
import { fromNdArray, sizeOf } from '../../../../ir/tensor.js';
import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import type { Ranks } from '../../../../runtime/mpi/join-ranks.js';
import { SessionThread, ThreadLost } from '../../../../runtime/thread/session-thread.js';
import { shareOf } from '../../schedules/index.js';
import { columnsOf, rowBytes } from './batches.js';
import { keepBest, type Keeper } from './best.js';
import { findBlock } from './block-convolutions.js';
import { openCheck, type Check } from './check.js';
import { openCheckpoints, type Standing } from './checkpoint.js';
import { compileStep, type CompiledStep } from './compile-step.js';
import { openFeeder, type Portion } from './feeder.js';
import { openGuard, type Guard } from './guard.js';
import { startMeter } from './meter.js';
import { engineOptions } from './options.js';
import { prepareTable } from './prepare.js';
import { openRooms, type Rooms, type Workplace } from './rooms.js';
import { keepCompany } from './company.js';
import { openSharedStepper } from './shared-stepper.js';
import { pace, type Saver } from './saver.js';
import { openStepper, type State, type Stepper } from './stepper.js';
import { adaptStride } from './stride.js';

/**
 * Trains with onnxruntime: a step is one graph, and a run makes several. A job that was stopped goes on from its last
 * checkpoint and ends in the same weights, bit by bit, as one that was not.
 * @throws MaasError MAAS_TRAIN_DIVERGED when the loss or a weight is no number, MAAS_INTERRUPTED when the signal stops
 * it, MAAS_MODEL_UNSUPPORTED and MAAS_MODEL_SHAPE when the model cannot be trained, MAAS_RUNTIME when its thread dies.
 */
export function train(job: TrainJob): Promise<TrainOutcome> {
  return trainWith(job, openStepper);
}

/**
 * The same with another hand at the steps. Features are prepared, and weights checked, by onnxruntime all the same: that
 * is what serves the model later.
 * @param backend Its name and version, when it is another than onnxruntime: checkpoints hold for one only.
 */
export async function trainWith(
  given: TrainJob,
  open: typeof openStepper,
  backend?: string,
): Promise<TrainOutcome> {
  const { checkpointSeconds, stepsPerRun } = engineOptions.parse(given.options);
  const company = given.ranks && keepCompany(given.ranks, given.signal);
  const job = {
    ...given,
    model: await loadWeights(given.model),
    ...(company && {
      signal: company.agreed,
      onProgress: given.ranks.rank === 0 ? company.tell(given.onProgress) : () => undefined,
    }),
  };
  const place = { thread: new SessionThread(), rooms: openRooms() };
  try {
    const convolves = job.model.graph.nodes.some(({ op }) => op === 'Conv' || op === 'ConvTranspose');
    const compiled = compileStep(job, {
      kernels: true,
      block: convolves && backend === undefined ? await findBlock(place.thread) : undefined,
    });
    const checkpoints = openCheckpoints(job, compiled, backend);
    const { checkpoint, note } = await checkpoints.read();
    const shared =
      company && (await openSharedStepper(place.thread, compiled, checkpoint?.state, job.threads, company));
    const stepper = shared ?? (await open(place.thread, compiled, checkpoint?.state, job.threads));
    const keeper = keepBest(job, checkpoint?.best);
    const history = await run(
      {
        job,
        stepper,
        keeper,
        rooms: place.rooms,
        columns: await columnsFor(job, compiled, place),
        compiled,
        check: await openCheck(place, job, compiled, job.dataset.splits.validation),
        guard: await openGuard(place.thread, compiled),
        saver: (job.ranks?.rank ?? 0) > 0 ? idle : pace(checkpoints, stepper, checkpointSeconds),
        stepsAtMost: checkpointSeconds === 0 || shared ? 1 : stepsPerRun,
      },
      checkpoint ?? beginning,
    );
    const weights = keeper.best ?? (await readCounted(stepper, compiled));
    const notes = [
      note,
      checkpoint && resumed(checkpoint, job),
      keeper.note(history),
      await shared?.describe(),
    ];
    return {
      model: withWeights(job.model, compiled, weights),
      history,
      notes: notes.filter((line) => line !== undefined),
    };
  } catch (error) {
    throw error instanceof ThreadLost ? abandoned(error) : error;
  } finally {
    await place.thread.close();
  }
}

const beginning: Standing = { epoch: 0, batch: 0, step: 0, lossSum: 0, history: [] };

/** Rank 0 alone writes checkpoints. */
const idle: Saver = { save: () => Promise.resolve(), saveIfDue: () => Promise.resolve() };

interface Run {
  readonly job: TrainJob;
  readonly compiled: CompiledStep;
  /** Columns of the training rows, by the input that they feed. */
  readonly columns: Readonly<Record<string, Column>>;
  readonly rooms: Rooms;
  readonly stepper: Stepper;
  readonly check: Check;
  readonly guard: Guard;
  readonly saver: Saver;
  readonly keeper: Keeper;
  readonly stepsAtMost: number | undefined;
}

async function run(
  { job, compiled, columns, rooms, stepper, check, guard, saver, keeper, stepsAtMost }: Run,
  from: Standing,
): Promise<TrainOutcome['history']> {
  const { rows: total } = job.dataset.splits.train;
  const { batchSize, epochs } = job;
  const feeder = openFeeder(job, compiled, columns, rooms);
  const { steps } = feeder;
  const carried = compiled.carried.reduce((sum, { dims }) => sum + 4 * sizeOf(dims), 0);
  const stride = adaptStride({ batch: rowBytes(columns) * batchSize, carried }, stepsAtMost);
  const meter = startMeter(job, steps, (epochs - from.epoch) * total - from.batch * batchSize);
  let { step, lossSum } = from;
  const history = [...from.history];
  const { perEpoch } = compiled.turns;
  /** Schedules count updates. @param at Counted from 1. */
  const shareAt = (at: number): number =>
    shareOf(job, {
      step: compiled.turns.at(at).update - 1,
      steps: perEpoch * epochs,
      stepsPerEpoch: perEpoch,
      history,
    });
  /** What the run that begins there trains on; the one after the last is never made. */
  const gather = (epoch: number, batch: number): Portion | undefined => {
    const place = batch < steps ? { epoch, batch } : { epoch: epoch + 1, batch: 0 };
    return place.epoch < epochs ? feeder.gather(place, stride.steps) : undefined;
  };
  let portion = gather(from.epoch, from.batch);
  let over = false;
  for (let epoch = from.epoch; epoch < epochs && !over; epoch++) {
    let batch = epoch === from.epoch ? from.batch : 0;
    while (batch < steps) {
      const standing = () => ({ epoch, batch, step, lossSum, history, best: keeper.best });
      if (job.signal.aborted) {
        await saver.save(standing());
        // A launcher ends all ranks with the first: none goes before rank 0 has saved.
        await job.ranks?.share(new Uint8Array());
        throw interrupted(epoch);
      }
      await saver.saveIfDue(standing);
      const { steps: count, rows, share, feeds } = portion!;
      const began = performance.now();
      const running = stepper.run(feeds, { count, first: step + 1, share }, shareAt);
      // While that is under way.
      portion = gather(epoch, batch + count);
      const { losses, returned } = await running;
      stride.took(count, performance.now() - began);
      rooms.giveBack(returned);
      for (let at = 0; at < count; at++) {
        if (!Number.isFinite(losses[at])) throw diverged(`the loss is ${losses[at]}`, epoch, batch + at);
        lossSum += losses[at]! * rows;
        job.onStep?.(step + at + 1, losses[at]!);
      }
      step += count;
      batch += count;
      meter.count(count, count * rows);
      const done = Math.min(batch * batchSize, total);
      meter.report({ epoch: epoch + 1, step: batch, loss: lossSum / done });
    }
    const loss = lossSum / total;
    await stepper.share?.();
    const broken = await guard();
    if (broken) throw diverged(`weights of ${broken} are no longer numbers`, epoch, steps - 1);
    const validation = await agreeOn(job.ranks, check);
    const rate = job.schedule && { learningRate: job.optimizer.learningRate * shareAt(step) };
    history.push({ epoch: epoch + 1, loss, ...prefixed('validation', validation), ...rate });
    over = await keeper.look(history, () => readCounted(stepper, compiled));
    lossSum = 0;
    meter.report({ epoch: epoch + 1, step: steps, loss, ...rate, validation });
  }
  return history;
}

/**
 * Figures that decide when to stop and how fast to go: those of rank 0 are everybody's. On other processors they may be
 * rounded in another way, and a rank that stopped alone would leave the others waiting.
 */
async function agreeOn(ranks: Ranks | undefined, measure: Check): ReturnType<Check> {
  if (!ranks) return measure();
  // As text: JSON has no NaN.
  const mine =
    ranks.rank === 0 ? Object.entries(await measure()).map(([name, it]) => [name, String(it)]) : [];
  const bytes = await ranks.share(Buffer.from(JSON.stringify(mine)));
  const all = JSON.parse(Buffer.from(bytes).toString()) as [string, string][];
  return Object.fromEntries(all.map(([name, figure]) => [name, Number(figure)]));
}

/** The weights that count, by parameter. */
async function readCounted(stepper: Stepper, { counted }: CompiledStep): Promise<State> {
  const state = await stepper.read(Object.values(counted));
  return Object.fromEntries(Object.entries(counted).map(([name, carried]) => [name, state[carried]!]));
}

async function columnsFor(
  { dataset, threads }: TrainJob,
  compiled: CompiledStep,
  place: Workplace,
): Promise<Record<string, Column>> {
  const { train } = dataset.splits;
  const inputs = await prepareTable(place, compiled.preparation, train, threads);
  return columnsOf(compiled, { ...train, inputs });
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
  for (const name of parameters) {
    const { dims } = initializers.get(name)!;
    initializers.set(name, fromNdArray({ ...state[name]!, dims }));
  }
  return { ...model, graph: stripDropout({ ...model.graph, initializers }) };
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
    { details: { epoch: epoch + 1 } },
  );
}

function abandoned(error: ThreadLost): MaasError {
  return new MaasError('MAAS_RUNTIME', `the thread that trains died: ${error.message}`, {
    cause: error,
    hint: 'Run the command again: training goes on from its last checkpoint.',
  });
}

function resumed({ epoch, batch }: Standing, { epochs }: TrainJob): string {
  return `went on from a checkpoint: epoch ${epoch + 1} of ${epochs}, after ${batch} steps of it`;
}
