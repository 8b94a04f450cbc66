import type { Named } from '../../../config/named.js';
import type { Model } from '../../../ir/graph.js';
import type { Pass, PassContext } from '../../../plugin/api.js';
import { applyPass } from '../apply-passes.js';
import type { PassRecord } from '../report.js';

interface Made {
  readonly model: Model;
  readonly record: PassRecord;
}

/**
 * Runs recipes. What one has done others need not do again: steps in which recipes begin alike are taken once, and what
 * passes have found out about a model is there for all that are run on it.
 */
export class Workshop {
  private readonly made = new WeakMap<Model, Map<string, Promise<Made>>>();
  private readonly memories = new WeakMap<Model, Map<string, unknown>>();
  private readonly calibrations = new Map<number, ReturnType<PassContext['calibration']>>();
  private readonly context: PassContext;

  /** @param signal Stops passes, and trainings that they ask for. */
  constructor(
    private readonly passes: ReadonlyMap<string, Pass>,
    given: PassContext,
    signal?: AbortSignal,
  ) {
    const { trainer } = given;
    this.context = {
      ...given,
      calibration: (samples) => {
        const known = this.calibrations.get(samples) ?? given.calibration(samples);
        this.calibrations.set(samples, known);
        return known;
      },
      ...(signal && { signal }),
      ...(trainer &&
        signal && { trainer: { ...trainer, fit: (order) => trainer.fit({ ...order, signal }) } }),
    };
  }

  async build(
    model: Model,
    steps: readonly Named[],
  ): Promise<{ readonly model: Model; readonly records: readonly PassRecord[] }> {
    const records: PassRecord[] = [];
    let result = model;
    for (const step of steps) {
      const { model: after, record } = await this.take(result, step);
      result = after;
      records.push(record);
    }
    return { model: result, records };
  }

  private async take(model: Model, step: Named): Promise<Made> {
    const taken = this.made.get(model) ?? new Map<string, Promise<Made>>();
    this.made.set(model, taken);
    const key = JSON.stringify([step.name, step.options]);
    const memory = this.memories.get(model) ?? new Map<string, unknown>();
    this.memories.set(model, memory);
    const made = taken.get(key) ?? applyPass(model, step, this.passes, { ...this.context, memory });
    taken.set(key, made);
    return made;
  }
}
