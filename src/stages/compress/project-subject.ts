import { join } from 'node:path';
import {
  headsOf,
  loadDataset,
  onlyHead,
  onlyTarget,
  readSignature,
  type DataConfig,
  type Dataset,
  type Signature,
  type Table,
} from '../../data/index.js';
import { gatherColumn, gatherRows, lineOf, sliceRows } from '../../data/rows.js';
import { MaasError } from '../../errors.js';
import {
  compare,
  onlyPredictions,
  pairRows,
  predict,
  requestsOf,
  score,
  type Predictions,
} from '../../evaluate/index.js';
import { openInputs, type Model } from '../../ir/graph.js';
import { loadModel, sizeOnDisk } from '../../ir/onnx/load.js';
import type { StageRun, TrainProgress } from '../../plugin/api.js';
import { readInstructionSet } from '../../runtime/cpu.js';
import type { Feeds } from '../../runtime/session.js';
import type { CompressOptions } from './config.js';
import { openTrainer } from '../open-trainer.js';
import { roundFigures } from './report.js';
import type { Judgement, Subject } from './subject.js';

/** Keeps the activations of wide convolutions within some hundred MB. */
const batchSize = 32;
/** Enough to tell layers apart, and bounded where activations are large. */
const probed = 128;

/**
 * The model that was trained, judged by the rows of the test split: they stay out of a pass's reach.
 * @param onFit Told how far the training is that a pass asks for.
 * @throws MaasError MAAS_DATA_CHANGED when the data is not what the model was trained on.
 */
export async function openProjectSubject(
  run: StageRun,
  onFit: (progress: TrainProgress) => void,
): Promise<Subject> {
  const { project, inputs, signal } = run;
  const { root, seed, name, config } = project;
  const folder = inputs.model!.path;
  const path = join(folder, 'model.onnx');
  const signature = await readSignature(join(folder, 'signature.json'));
  const dataset = await loadDataset(config['data'] as DataConfig, {
    root,
    seed,
    name,
    signal,
  });
  if (dataset.digest !== signature.data.digest) {
    const model = inputs.model!.digest.slice(0, 12);
    throw new MaasError('MAAS_DATA_CHANGED', `the data has changed since model ${model} was trained`);
  }
  const { test } = dataset.splits;
  const model = await loadModel(path);
  const references = new Map<Table, Predictions>();
  const referenceOf = async (table: Table, until: AbortSignal): Promise<Predictions> => {
    const known = references.get(table) ?? (await predict(path, table, signature, { signal: until }));
    references.set(table, known);
    return known;
  };
  const parts = new Map<number, Table>();
  const partOf = (rows: number): Table => {
    const part = rows < test.rows ? (parts.get(rows) ?? spreadTable(test, rows)) : test;
    parts.set(rows, part);
    return part;
  };
  return {
    path,
    model,
    bytes: await sizeOnDisk(path, model),
    context: {
      seed,
      target: (run.options as CompressOptions).target ?? (await readInstructionSet()),
      calibration: (samples) => Promise.resolve([...pickBatches(dataset, samples)]),
      trainer: openTrainer(run, dataset, onFit),
      signal,
    },
    async judge(other, { rows = Infinity, signal: until = signal } = {}) {
      const table = partOf(rows);
      const reference = await referenceOf(table, until);
      requireOpenBatch(await loadModel(other));
      const found = other === path ? reference : await predict(other, table, signature, { signal: until });
      const judgePair = (old: Predictions, now: Predictions, part: Table, facts: Signature) => {
        const judged = {
          ...judge(old, now, part, facts),
          isWhole: table === test,
        };
        return other === path ? judged : { ...judged, paired: pairRows(old, now, part, facts) };
      };
      const whole = judgePair(reference, found, table, signature);
      if (!signature.others) return whole;
      const heads = headsOf(signature).map((head) => {
        const [old, now] = [reference, found].map((each) => onlyPredictions(each, head.name));
        const part = onlyTarget(table, head.name);
        return [head.name, judgePair(old!, now!, part, onlyHead(signature, head))] as const;
      });
      return { ...whole, heads: Object.fromEntries(heads) };
    },
    probe: () => sliceRows(test.inputs, 0, Math.min(test.rows, probed)),
    requests: () => requestsOf(test),
  };
}

/** @throws MaasError MAAS_MODEL_SHAPE when a pass fixed how many rows the model takes. */
function requireOpenBatch({ graph }: Model): void {
  const fixed = openInputs(graph).find(({ shape }) => typeof shape?.[0] === 'number');
  if (!fixed) return;
  const message = `the compressed model takes ${fixed.shape![0]} rows at a time, no more and no fewer (${fixed.name})`;
  throw new MaasError('MAAS_MODEL_SHAPE', message, {
    hint: 'A project is served with any number of rows: fix other sizes, or compress the file by itself with --model.',
  });
}

function judge(
  reference: Predictions,
  other: Predictions,
  test: Table,
  signature: Signature,
): Omit<Judgement, 'isWhole'> {
  return {
    rows: test.rows,
    task: signature.task,
    before: roundFigures(score(reference, test, signature)),
    after: roundFigures(score(other, test, signature)),
    difference: roundFigures(compare(reference, other)),
  };
}

/**
 * Rows to calibrate on: of the validation split, then of the train split while there are not enough, spread evenly over
 * each, because a source may be sorted.
 */
function* pickBatches({ splits }: Dataset, samples: number): Generator<Feeds> {
  const fromValidation = Math.min(samples, splits.validation.rows);
  yield* spread(splits.validation, fromValidation);
  yield* spread(splits.train, Math.min(samples - fromValidation, splits.train.rows));
}

const spreadOver = (rows: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => Math.floor((index * rows) / count));

/** So many rows of a table. */
function spreadTable(table: Table, count: number): Table {
  const rows = spreadOver(table.rows, count);
  return {
    rows: count,
    lines: Uint32Array.from(rows, (row) => lineOf(table, row)),
    inputs: gatherRows(table.inputs, rows),
    target: gatherColumn(table.target, rows),
    ...(table.others && {
      others: Object.fromEntries(
        Object.entries(table.others).map(([name, column]) => [name, gatherColumn(column, rows)]),
      ),
    }),
  };
}

function* spread(table: Table, count: number): Generator<Feeds> {
  const rows = spreadOver(table.rows, count);
  for (let start = 0; start < count; start += batchSize) {
    yield gatherRows(table.inputs, rows.slice(start, start + batchSize));
  }
}
