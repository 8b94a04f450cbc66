import type { ListrTask } from 'listr2';
import type { StageRun } from '../../plugin/api.js';
import { describeProgress } from '../../ui/progress.js';
import type { TrainOptions } from './config.js';
import type { CrossValidation } from './folds/cross-validate.js';
import type { Training, TrainingRun } from './train.js';

/** What the first tasks make. */
export interface Prepared {
  training?: Training;
}

/** Reads the data and builds the model. */
export function preparingTasks(run: TrainingRun, prepared: Prepared): ListrTask[] {
  return [
    {
      title: 'load data',
      task: async (_context, task) => {
        // Loaded on demand: it brings protobuf along, which no other command should pay for.
        const work = await import('./train.js');
        prepared.training = await work.Training.open(run);
        const { train, validation, test } = prepared.training.dataset.splits;
        const held = validation.rows > 0 ? `${validation.rows} to validate, ` : '';
        task.title = `load data: ${train.rows} rows to train on, ${held}${test.rows} to test`;
      },
    },
    {
      title: 'build model',
      enabled: run.options.model !== undefined,
      task: async (_context, task) => {
        task.title = `build model: ${(await prepared.training!.build()).toLocaleString('en-US')} weights`;
      },
    },
  ];
}

export function trainTasks(run: StageRun<TrainOptions>): ListrTask[] {
  const prepared: Prepared = {};
  let validated: CrossValidation | undefined;
  const { folds } = run.options;
  // Of several trainings each has a folder of its own.
  const last: TrainingRun = folds === undefined ? run : { ...run, part: 'final' };
  return [
    ...preparingTasks(last, prepared),
    {
      title: `train ${folds} folds`,
      enabled: folds !== undefined,
      task: async (_context, task) => {
        const { crossValidate } = await import('./folds/cross-validate.js');
        let [current, describe] = [0, describeProgress()];
        validated = await crossValidate(run, (fold, progress) => {
          if (fold !== current) [current, describe] = [fold, describeProgress()];
          task.output = `fold ${fold}/${folds} · ${describe(progress)}`;
        });
        task.title = validated.notes[0]!;
        await prepared.training!.noteFolds(validated);
      },
    },
    {
      title: 'train',
      task: async (_context, task) => {
        const describe = describeProgress();
        const training = prepared.training!;
        if (training.engineNote !== undefined) task.output = training.engineNote;
        const { history } = await training.fit((progress) => {
          task.output = describe(progress);
        }, validated?.changes);
        const end = history.at(-1);
        task.title = `train: ${history.length} epochs${end ? `, loss ${end.loss.toPrecision(4)}` : ''}`;
      },
    },
    { title: 'write files', task: () => prepared.training!.write() },
    {
      title: 'evaluate',
      task: async (_context, task) => {
        const figures = Object.entries(await prepared.training!.evaluate());
        const named = (name: RegExp) => figures.filter(([figure]) => name.test(figure));
        // The first that there is says most, of each target.
        const shares = [...named(/^accuracy\b/), ...named(/^r2\b/)];
        const told = shares.length > 0 ? shares : named(/^mae\b/);
        const texts = told.map(
          ([name, value]) => `${name.replace(/^r2/, 'R²').replace(/^mae/, 'error')} ${value.toFixed(4)}`,
        );
        task.title = `evaluate: ${texts.join(', ')} on the test split`;
      },
    },
  ];
}
