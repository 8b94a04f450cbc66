import { ListrTaskEventType, ListrTaskState } from 'listr2';
import type { ProgressEvent } from '../plugin/events.js';

const stateNames: Partial<Record<ListrTaskState, 'start' | 'done' | 'failed'>> = {
  [ListrTaskState.STARTED]: 'start',
  [ListrTaskState.COMPLETED]: 'done',
  [ListrTaskState.FAILED]: 'failed',
};

/** A task of a listr2 list, whatever renders it. */
interface Step {
  readonly title?: unknown;
  on(event: ListrTaskEventType.STATE, listener: (state: ListrTaskState) => void): void;
}

/** Emits a `task` event whenever a step that has a title starts, ends or fails. */
export function announceSteps(
  steps: readonly Step[],
  stage: string,
  emit: (event: ProgressEvent) => void,
): void {
  for (const step of steps) {
    const title = step.title;
    if (typeof title !== 'string' || title === '') continue;
    step.on(ListrTaskEventType.STATE, (now) => {
      const state = stateNames[now];
      if (state !== undefined) emit({ event: 'task', stage, title, state });
    });
  }
}
