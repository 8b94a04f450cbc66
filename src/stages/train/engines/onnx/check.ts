import type { Table } from '../../../../data/dataset.js';
import { headsOf, onlyHead, onlyTarget } from '../../../../data/heads.js';
import { nameFigures, scoreValues } from '../../../../evaluate/index.js';
import { GraphBuilder } from '../../../../ir/builder.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { removeDead, stripDropout } from '../../../../ir/rewrite.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { columnsOf, prepareBatches } from './batches.js';
import type { CompiledStep } from './compile-step.js';
import { emitLoss, forwardOf, openWeights } from './forward.js';
import type { Workplace } from './rooms.js';

/** Rows per run: enough to keep the overhead of a run small, few enough for wide activations. */
const chunk = 256;

/**
 * Measures the weights that the thread keeps on a table: `loss`, the mean over its rows, and the job's metrics; NaN for
 * one that is not defined on these rows. Of a table without rows, nothing.
 */
export type Check = () => Promise<Record<string, number>>;

/** Opens a session that runs forward only, in the model's form for inference, with the weights as inputs. */
export async function openCheck(
  { thread, rooms }: Workplace,
  job: TrainJob,
  { parameters, counted, kernels }: CompiledStep,
  table: Table,
): Promise<Check> {
  // Where all rows are trained on, none is left to measure.
  if (table.rows === 0) return () => Promise.resolve({});
  const forward = forwardOf(job);
  const g = new GraphBuilder(openWeights(stripDropout(forward), parameters, !kernels));
  const { targets, loss } = emitLoss(g, job);
  const { metrics } = job;
  const { signature } = job.dataset;
  const heads = headsOf(signature);
  const said = heads.map(({ name }) => job.others?.[name]?.prediction ?? job.prediction);
  g.output(loss);
  if (metrics.length > 0) for (const name of said) g.output(name);
  const model = { ...job.model, graph: removeDead(g.build()) };
  const session = await thread.open(encodeModel(model), { threads: job.threads, optimization: 'basic' });

  const inputs = forward.inputs.map(({ name }) => name);
  const most = Math.min(Math.max(chunk, job.batchSize), table.rows);
  const take = prepareBatches(columnsOf({ inputs, targets }, table), rooms);
  const order = Uint32Array.from({ length: table.rows }, (_, row) => row);
  return async () => {
    let sum = 0;
    const parts = said.map((): Float32Array[] => []);
    for (let start = 0; start < table.rows; start += most) {
      const rows = Math.min(most, table.rows - start);
      const { arrays, returned } = await session.runLent(take(order, start, [rows]), { use: counted });
      rooms.giveBack(returned);
      sum += Number(arrays[loss]!.data[0]) * rows;
      if (metrics.length > 0) said.forEach((name, at) => parts[at]!.push(arrays[name]!.data as Float32Array));
    }
    const mean = { loss: sum / table.rows };
    if (metrics.length === 0) return mean;
    const figures: Record<string, number> = {};
    for (const [at, head] of heads.entries()) {
      const own = scoreValues(parts[at]!, onlyTarget(table, head.name).target, onlyHead(signature, head));
      Object.assign(figures, heads.length > 1 ? nameFigures(own, head.name) : own);
    }
    return { ...mean, ...Object.fromEntries(metrics.map((metric) => [metric, figures[metric] ?? NaN])) };
  };
}
