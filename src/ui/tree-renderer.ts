import {
  DefaultRenderer,
  ListrDefaultRendererLogLevels as Level,
  ListrEventManager,
  ListrLogger,
  ListrTaskEventType,
  ProcessOutput,
  type ListrDefaultRendererOptions,
  type ListrDefaultRendererTask,
} from 'listr2';
import { formatDuration } from './format.js';
import { createStyle } from './style.js';

/**
 * listr2's tree, drawn on stderr even when stdout is a pipe. It is redrawn when a task starts or ends and by its own
 * clock, not for every line of output: training reports each step, and a redraw would cost more than the step.
 */
export class TreeRenderer extends DefaultRenderer {
  static override nonTTY = true;

  constructor(tasks: ListrDefaultRendererTask[], options: ListrDefaultRendererOptions) {
    super(tasks, options, new ListrEventManager());
    this.#watch(tasks);
  }

  #watch(tasks: readonly ListrDefaultRendererTask[]): void {
    for (const task of tasks) {
      // The first frame with a task in it also begins to collect the task's output.
      task.on(ListrTaskEventType.STATE, () => {
        this.update();
      });
      task.on(ListrTaskEventType.SUBTASK, (subtasks) => {
        this.#watch(subtasks);
      });
    }
  }
}

export function treeOptions(stream: NodeJS.WriteStream, color: boolean): ListrDefaultRendererOptions {
  const style = createStyle(color);
  const plain = (text?: string): string => text ?? '';
  const paint = (name: 'red' | 'yellow' | 'green' | 'cyan' | 'dim') => (text?: string) =>
    style[name](text ?? '');
  return {
    logger: new ListrLogger({ useIcons: true, processOutput: new ProcessOutput(stream, stream) }),
    collapseSubtasks: false,
    // The failure is printed once, whole, below the tree.
    showErrorMessage: false,
    collapseErrors: false,
    collapseSkips: false,
    icon: { [Level.SKIPPED_WITHOUT_COLLAPSE]: '↓' },
    timer: {
      condition: (milliseconds: number) => milliseconds >= 100,
      field: (milliseconds: number) => formatDuration(milliseconds / 1000),
      format: () => paint('dim'),
    },
    // listr2 decides about colour by stdout; the tree is on stderr.
    color: {
      ...Object.fromEntries(Object.values(Level).map((level) => [level, plain])),
      [Level.PENDING]: paint('cyan'),
      [Level.COMPLETED]: paint('green'),
      [Level.FAILED]: paint('red'),
      [Level.FAILED_WITH_FAILED_SUBTASKS]: paint('red'),
      [Level.SKIPPED_WITHOUT_COLLAPSE]: paint('yellow'),
      [Level.WAITING]: paint('dim'),
      [Level.OUTPUT]: paint('dim'),
    },
  };
}
