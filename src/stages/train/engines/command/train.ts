import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { placeIn } from '../../../../config/index.js';
import { MaasError, type Place } from '../../../../errors.js';
import { loadModel, loadWeights } from '../../../../ir/onnx/load.js';
import type { Project, TrainOrder, TrainOutcome } from '../../../../plugin/api.js';
import { readTail, runProgram, type Ending } from '../../program.js';
import { adoptTrained } from './adopt.js';
import { environmentOf, handOver, type Folders } from './hand-over.js';
import { readNpy } from './npy.js';
import { commandOptions, type CommandOptions } from './options.js';
import { followProgress } from './progress.js';

/** Lines of the trainer's output that an error shows. */
const shown = 12;

/**
 * Runs the user's own trainer and takes the model that it leaves. A trainer that was stopped finds its checkpoints when it
 * is started again.
 * @throws MaasError MAAS_TRAINER_FAILED when it ends with an error, leaves no model or falls silent, MAAS_MODEL_SHAPE when
 * its model does not fit the data, MAAS_INTERRUPTED when the signal stops it.
 */
export async function train(order: TrainOrder, project: Project): Promise<TrainOutcome> {
  const options = commandOptions.parse(order.options);
  const place = placeIn(project, ['train', 'engine', 'command']);
  const folders = await handOver(order, options);
  const progress = followProgress(folders.progress, order);
  const { size: before } = await stat(folders.log).catch(() => ({ size: 0 }));
  const ending = await runProgram({
    command: options.run,
    cwd: project.root,
    env: { ...options.env, ...environmentOf(folders, order) },
    log: folders.log,
    graceSeconds: options.graceSeconds,
    silenceSeconds: options.silenceSeconds,
    alive: [folders.progress],
    signal: order.signal,
    onLook: () => progress.read(),
  });
  await progress.read();
  if (ending.cause !== 'exit' || ending.code !== 0) {
    const tail = await readTail(folders.log, before, shown);
    throw ended(ending, options, { folders, place, tail });
  }
  const golden = await readGolden(join(folders.out, 'golden.npy'), place);
  const model = await adoptTrained(await readModel(folders, place), order.dataset, {
    preprocess: options.preprocess,
    output: options.output,
    place,
    golden,
  });
  return { model, history: progress.history(), notes: progress.notes() };
}

async function readModel({ out }: Folders, place: Place) {
  const path = join(out, 'model.onnx');
  try {
    await stat(path);
  } catch (cause) {
    throw new MaasError('MAAS_TRAINER_FAILED', 'the trainer ended well, but left no model', {
      place,
      hint: 'It must write model.onnx into the folder that the environment variable MAAS_OUT names.',
      cause,
    });
  }
  return loadWeights(await loadModel(path));
}

async function readGolden(path: string, place: Place) {
  try {
    return await readNpy(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new MaasError('MAAS_TRAINER_FAILED', `golden.npy cannot be read: ${(cause as Error).message}`, {
      place,
      hint: 'Write it with numpy.save, float32 [rows, outputs], or leave it out.',
      cause,
    });
  }
}

interface Remains {
  readonly folders: Folders;
  readonly place: Place;
  readonly tail: readonly string[];
}

function ended(
  { code, cause }: Ending,
  options: CommandOptions,
  { folders, place, tail }: Remains,
): MaasError {
  if (cause === 'stopped') {
    return new MaasError('MAAS_INTERRUPTED', 'the trainer was stopped', {
      hint: 'Run the same command again: the trainer finds its checkpoints in MAAS_CHECKPOINTS.',
    });
  }
  const what =
    cause === 'silent'
      ? `fell silent for ${options.silenceSeconds} s`
      : `ended with exit code ${code}${code === 127 ? ' (a command was not found)' : ''}`;
  const words = tail.length > 0 ? `. Its last lines:\n${tail.map((line) => `  ${line}`).join('\n')}` : '';
  return new MaasError('MAAS_TRAINER_FAILED', `the trainer ${what}${words}`, {
    place,
    hint: `All that it printed is in ${folders.log}`,
    details: { exitCode: code, log: folders.log },
  });
}
