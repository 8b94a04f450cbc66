import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { placeIn } from '../../../config/index.js';
import type { DataConfig } from '../../../data/index.js';
import { MaasError } from '../../../errors.js';
import { isBrief, isOfAll } from '../../../evaluate/figures.js';
import { predict, score } from '../../../evaluate/index.js';
import { encodeModel } from '../../../ir/onnx/save.js';
import type { TrainOrder, TrainOutcome, TrainProgress } from '../../../plugin/api.js';
import { judge } from '../early-stopping.js';
import { Training, type TrainingRun } from '../train.js';
import { spreadFigures, spreadOf, type Spread } from './spread.js';

/** What came of one fold. */
export interface FoldResult {
  /** On the rows that it held out. */
  readonly figures: Readonly<Record<string, number>>;
  /** Epochs that the model it kept was trained for. */
  readonly epochs: number;
}

export interface CrossValidation {
  readonly folds: readonly FoldResult[];
  readonly spreads: Readonly<Record<string, Spread>>;
  /** What the training on all of these rows does otherwise, since no rows are held out for it to watch. */
  readonly changes: Partial<TrainOrder>;
  readonly notes: readonly string[];
}

/**
 * Trains a model for each fold, and measures it on the rows that the fold holds out. What a fold gave is kept in the work
 * folder: a run that goes on after a kill does not train it again.
 * @throws MaasError MAAS_CONFIG_INVALID where rows are split by time.
 */
export async function crossValidate(
  run: TrainingRun,
  onProgress: (fold: number, progress: TrainProgress) => void,
): Promise<CrossValidation> {
  const { project, options, work } = run;
  if ((project.config['data'] as DataConfig).split.time !== undefined) {
    throw new MaasError('MAAS_CONFIG_INVALID', 'train.folds would train on what comes after', {
      place: placeIn(project, ['train', 'folds']),
      hint: 'Leave train.folds out, or data.split.time.',
    });
  }
  const folds: FoldResult[] = [];
  for (let held = 0; held < options.folds!; held++) {
    const note = join(work, `fold-${held + 1}.json`);
    const found = await readResult(note);
    if (!found) {
      const result = await trainFold(run, held, (progress) => {
        onProgress(held + 1, progress);
      });
      await writeFile(`${note}.new`, JSON.stringify(result));
      await rename(`${note}.new`, note);
      await rm(join(work, partOf(held)), { recursive: true, force: true });
    }
    folds.push((found ?? (await readResult(note)))!);
  }
  const spreads = spreadFigures(folds.map(({ figures }) => figures));
  const { changes, notes } = settleOrders(options, folds);
  return { folds, spreads, changes, notes: [describe(spreads, folds.length), ...notes] };
}

const partOf = (held: number): string => `fold-${held + 1}`;

async function readResult(path: string): Promise<FoldResult | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as FoldResult);
}

async function trainFold(
  run: TrainingRun,
  held: number,
  onProgress: (progress: TrainProgress) => void,
): Promise<FoldResult> {
  // Its notes are about its share of the rows; what they all come to is told in the end.
  const result = { metrics: {}, measured: {}, notes: [] };
  await mkdir(join(run.work, partOf(held)), { recursive: true });
  const training = await Training.open({ ...run, result, part: partOf(held) }, held);
  await training.build();
  const { model, history } = await training.fit(onProgress);
  const { signature, splits } = training.dataset;
  const figures = score(
    await predict(encodeModel(model), splits.validation, signature),
    splits.validation,
    signature,
  );
  const summed = Object.entries(figures).filter(([name]) => isOfAll(name));
  return { figures: Object.fromEntries(summed), epochs: keptEpochs(history, run.options) };
}

function keptEpochs(history: TrainOutcome['history'], { earlyStopping }: TrainingRun['options']): number {
  const best = earlyStopping?.restoreBestWeights ? judge(history, earlyStopping).best : undefined;
  return best === undefined ? history.length : best + 1;
}

function settleOrders(
  { earlyStopping, schedule }: TrainingRun['options'],
  folds: readonly FoldResult[],
): Pick<CrossValidation, 'changes' | 'notes'> {
  const watches = (options: unknown): boolean =>
    ((options as { monitor?: string } | undefined)?.monitor ?? 'loss') !== 'loss';
  const epochs = Math.max(1, Math.round(spreadOf(folds.map((fold) => fold.epochs)).mean));
  const stops = watches(earlyStopping);
  const waits = schedule !== undefined && watches(schedule.options);
  return {
    changes: {
      ...(stops && { epochs, earlyStopping: undefined }),
      ...(waits && {
        schedule: { name: schedule.name, ...(schedule.options as object), monitor: 'loss', mode: 'min' },
      }),
    },
    notes: [
      ...(stops ? [`trained on all of these rows for ${epochs} epochs, the mean of the folds`] : []),
      ...(waits ? [`trained on all of these rows, ${schedule.name} watched loss`] : []),
    ],
  };
}

function describe(spreads: CrossValidation['spreads'], count: number): string {
  const figures = Object.entries(spreads)
    .filter(([name]) => isBrief(name))
    .map(([name, { mean, sd }]) => `${name} ${mean.toFixed(4)} ± ${sd.toFixed(4)}`);
  return `${count} folds: ${figures.join(' · ')}`;
}
