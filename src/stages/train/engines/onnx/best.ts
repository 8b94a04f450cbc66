import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import { judge } from '../../early-stopping.js';
import type { State } from './stepper.js';

type History = TrainOutcome['history'];

/** Watches for the best epoch of a training. */
export interface Keeper {
  /** Copies of the weights after the best epoch, if they are to be kept. */
  readonly best: State | undefined;
  /** Looks at the epoch that has just ended, whose weights `read` gives; returns whether it is time to stop. */
  look(history: History, read: () => Promise<State>): Promise<boolean>;
  /** What came of it, for the person who trains. */
  note(history: History): string | undefined;
}

/** @param kept What a checkpoint has kept. */
export function keepBest({ earlyStopping, epochs }: TrainJob, kept: State | undefined): Keeper {
  let best = kept;
  return {
    get best() {
      return best;
    },
    async look(history, read) {
      if (!earlyStopping) return false;
      const verdict = judge(history, earlyStopping);
      if (earlyStopping.restoreBestWeights && verdict.best === history.length - 1) best = await read();
      return verdict.stop;
    },
    note(history) {
      const at = earlyStopping && judge(history, earlyStopping).best;
      if (at === undefined) return undefined;
      const { monitor, restoreBestWeights } = earlyStopping!;
      const early = history.length < epochs ? `stopped after epoch ${history.length} of ${epochs}: ` : '';
      const whose = restoreBestWeights ? ', whose weights the model has' : '';
      return `${early}${monitor} was best in epoch ${at + 1}${whose}`;
    },
  };
}
