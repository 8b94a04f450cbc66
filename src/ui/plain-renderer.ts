import type { ListrTaskObject } from 'listr2';
import { ListrTaskEventType, ListrTaskState } from 'listr2';
import { formatDuration } from './format.js';
import { createStyle, type Style } from './style.js';

type Task = ListrTaskObject<unknown, never, never>;

export interface PlainRendererOptions {
  readonly write: (line: string) => void;
  readonly color: boolean;
  /** Milliseconds that must lie between two lines of live output of one task; the last one is always shown. */
  readonly outputInterval?: number;
}

/**
 * One line per thing that happened, for CI logs and pipes: nothing is ever redrawn. A log of ten minutes of training
 * should have tens of lines, not thousands, so live output is thinned out.
 */
export class PlainRenderer {
  static nonTTY = true;
  static rendererOptions: PlainRendererOptions;
  static rendererTaskOptions: never;
  readonly #tasks: Task[];
  readonly #write: (line: string) => void;
  readonly #style: Style;
  readonly #interval: number;

  constructor(tasks: Task[], options: PlainRendererOptions) {
    this.#tasks = tasks;
    this.#write = options.write;
    this.#style = createStyle(options.color);
    this.#interval = options.outputInterval ?? 5000;
  }

  render(): void {
    this.#watch(this.#tasks, 0);
  }

  end(): void {
    // Every line has been written already.
  }

  #watch(tasks: readonly Task[], depth: number): void {
    for (const task of tasks) this.#watchTask(task, depth);
  }

  #watchTask(task: Task, depth: number): void {
    const indent = '  '.repeat(depth);
    const line = (icon: string, text: string) => {
      this.#write(`${indent}${icon} ${text}`);
    };
    const thinned = thinOut(this.#interval, (text) => {
      for (const part of text.split('\n')) this.#write(this.#style.dim(`${indent}  ${part}`));
    });
    task.on(ListrTaskEventType.SUBTASK, (subtasks) => {
      this.#watch(subtasks as unknown as Task[], task.hasTitle() ? depth + 1 : depth);
    });
    task.on(ListrTaskEventType.OUTPUT, (output) => {
      thinned.offer(output);
    });
    task.on(ListrTaskEventType.STATE, (state) => {
      if (!task.hasTitle()) return;
      const duration = task.message.duration ?? 0;
      if (state === ListrTaskState.STARTED) {
        if (depth === 0) line(this.#style.cyan('→'), this.#style.bold(task.title!));
        return;
      }
      thinned.flush();
      if (state === ListrTaskState.COMPLETED) {
        line(
          this.#style.green('✔'),
          duration < 100 ? task.title! : `${task.title!} (${formatDuration(duration / 1000)})`,
        );
      } else if (state === ListrTaskState.FAILED) {
        line(this.#style.red('✖'), `${task.title!} (failed)`);
      } else if (state === ListrTaskState.SKIPPED) {
        const reason = task.message.skip;
        line(this.#style.yellow('↓'), `${task.title!} (skipped${reason ? `: ${reason}` : ''})`);
      }
    });
  }
}

/** Passes on the first text, then at most one per interval, and on `flush` the last one held back. */
function thinOut(interval: number, pass: (text: string) => void) {
  let last = -Infinity;
  let held: string | undefined;
  let shown: string | undefined;
  const show = (text: string) => {
    held = undefined;
    if (text === shown) return;
    shown = text;
    last = Date.now();
    pass(text);
  };
  return {
    offer(text: string) {
      if (Date.now() - last >= interval) show(text);
      else held = text;
    },
    flush() {
      if (held !== undefined) show(held);
    },
  };
}
