import { Listr, type ListrTask } from 'listr2';
import { PlainRenderer } from './plain-renderer.js';
import { TreeRenderer, treeOptions } from './tree-renderer.js';

/** How progress is shown: redrawn on a terminal, line by line elsewhere, or not at all. */
export type ProgressMode = 'tree' | 'lines' | 'silent';

export interface ProgressOutput {
  readonly mode: ProgressMode;
  /** Progress is for people, so it goes to stderr. */
  readonly stream: NodeJS.WriteStream;
  readonly color: boolean;
  /** See PlainRendererOptions. */
  readonly outputInterval?: number;
}

/**
 * Runs listr2 tasks one after the other and shows them. Rejects with the error of the task that failed.
 * Signals are the caller's: listr2 would end the process before a stage had a chance to clean up.
 */
export async function runTasks(tasks: readonly ListrTask[], output: ProgressOutput): Promise<void> {
  const options = { concurrent: false, exitOnError: true, registerSignalListeners: false } as const;
  await new Listr([...tasks], { ...options, ...rendererFor(output) }).run();
}

function rendererFor({ mode, stream, color, outputInterval }: ProgressOutput) {
  switch (mode) {
    case 'tree':
      return { renderer: TreeRenderer as never, rendererOptions: treeOptions(stream, color) as never };
    case 'lines': {
      const write = (line: string) => stream.write(`${line}\n`);
      return { renderer: PlainRenderer as never, rendererOptions: { write, color, outputInterval } as never };
    }
    case 'silent':
      return { renderer: 'silent' as never };
  }
}
