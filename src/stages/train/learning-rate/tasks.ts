import type { ListrTask } from 'listr2';
import { sparkline } from '../../../ui/sparkline.js';
import type { RunnerContext } from '../../assess.js';
import { findStage } from '../../inputs.js';
import type { TrainOptions } from '../config.js';
import { preparingTasks, type Prepared } from '../tasks.js';
import type { TrainingRun } from '../train.js';
import type { FoundRate } from './find-rate.js';
import type { RatePoint } from './rate-curve.js';

/** The work of `maas train --find-lr`, and what it has found when it is done. */
export function rateTasks(context: RunnerContext): {
  readonly tasks: ListrTask[];
  readonly found: () => FoundRate;
} {
  const { project, registry } = context;
  findStage(project, registry, 'train');
  const options = project.config['train'] as TrainOptions;
  const result = { metrics: {}, measured: {}, notes: [] };
  const run: TrainingRun = { ...context, options, work: '', result };
  const prepared: Prepared = {};
  let found: FoundRate | undefined;
  const tasks: ListrTask[] = [
    ...preparingTasks(run, prepared),
    {
      title: 'try learning rates',
      task: async (_context, task) => {
        const { findRate } = await import('./find-rate.js');
        found = await findRate(run, prepared.training!, (points) => {
          task.output = describe(points);
        });
        const { points } = found;
        task.title = `try learning rates: ${points.length}, up to ${show(points.at(-1)!.learningRate)}`;
      },
    },
  ];
  return { tasks, found: () => found! };
}

function describe(points: readonly RatePoint[]): string {
  const { learningRate, smoothed } = points.at(-1)!;
  const curve = sparkline(points.map((point) => point.smoothed));
  return `learning rate ${show(learningRate)} · loss ${smoothed.toPrecision(4)} ${curve}`;
}

function show(rate: number): string {
  return Number(rate.toPrecision(2)).toString();
}
