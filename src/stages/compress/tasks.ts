import type { ListrTask } from 'listr2';
import type { StageRun } from '../../plugin/api.js';
import type { Compression } from './compress.js';
import type { CompressOptions } from './config.js';

export function compressTasks(run: StageRun<CompressOptions>): ListrTask[] {
  let compression: Compression;
  return [
    {
      title: 'load the model and its held-out rows',
      task: async () => {
        // Loaded on demand: it brings protobuf along, which no other command should pay for.
        const work = await import('./compress.js');
        compression = await work.Compression.open(run);
      },
    },
    ...run.options.passes.map((choice): ListrTask => ({
      title: choice.name,
      task: async (_context, task) => {
        const { applied = [], skipped } = await compression.apply(choice);
        task.title = `${choice.name}: ${applied.length} changed, ${skipped.length} left alone`;
      },
    })),
    {
      title: 'measure size and quality',
      task: async () => {
        await compression.measure();
      },
    },
    {
      title: 'measure latency',
      task: async (_context, task) => {
        const latencies = await compression.time();
        const ratios = latencies.map(({ batch, ratio }) => `${ratio.toFixed(2)} × for ${batch}`);
        task.title = `measure latency: ${ratios.join(', ')}`;
      },
    },
    {
      title: 'check the gates',
      task: async (_context, task) => {
        const verdicts = await compression.check();
        task.title = `check the gates: ${verdicts.map((verdict) => verdict.text).join('; ')}`;
      },
    },
  ];
}
