import { relative } from 'node:path';
import type { ListrTask } from 'listr2';
import { describeProgress } from '../../../ui/progress.js';
import type { Submission } from './submission.js';

/** Writes what describes the job; `apply` hands it in, watches it and brings the artifact. */
export function submitTasks(submission: Submission, apply: boolean): ListrTask[] {
  const { title } = submission.cluster;
  const file = relative(submission.job.root, submission.file);
  let id: string;
  const write: ListrTask = { title: `write ${file}`, task: () => submission.write() };
  if (!apply) return [write];
  return [
    write,
    {
      title: `submit to ${title}`,
      task: async (_context, task) => {
        const found = await submission.submit();
        id = found.id;
        task.title = found.isNew ? `submit to ${title}: job ${id}` : `job ${id} of ${title} is there already`;
      },
    },
    {
      title: `train on ${title}`,
      task: async (_context, task) => {
        const describe = describeProgress();
        await submission.follow(id, (progress, { detail }) => {
          task.output = progress ? describe(progress) : `job ${id}: ${detail}`;
        });
      },
    },
    ...(submission.cluster.fetch ? [{ title: 'bring the artifact', task: () => submission.bring() }] : []),
  ];
}
