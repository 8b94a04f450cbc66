import type { Table } from '../../../../data/dataset.js';
import { scoreValues } from '../../../../evaluate/index.js';
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
  const { target, loss } = emitLoss(g, job);
  const { metrics, prediction } = job;
  g.output(loss);
  if (metrics.length > 0) g.output(prediction);
  const model = { ...job.model, graph: removeDead(g.build()) };
  const session = await thread.open(encodeModel(model), { threads: job.threads, optimization: 'basic' });

  const inputs = forward.inputs.map(({ name }) => name);
  const most = Math.min(Math.max(chunk, job.batchSize), table.rows);
  const take = prepareBatches(columnsOf({ inputs, target }, table), rooms);
  const order = Uint32Array.from({ length: table.rows }, (_, row) => row);
  return async () => {
    let sum = 0;
    const parts: Float32Array[] = [];
    for (let start = 0; start < table.rows; start += most) {
      const rows = Math.min(most, table.rows - start);
      const { arrays, returned } = await session.runLent(take(order, start, [rows]), { use: counted });
      rooms.giveBack(returned);
      sum += Number(arrays[loss]!.data[0]) * rows;
      if (metrics.length > 0) parts.push(arrays[prediction]!.data as Float32Array);
    }
    const mean = { loss: sum / table.rows };
    if (metrics.length === 0) return mean;
    const figures = scoreValues(parts, table.target, job.dataset.signature);
    return { ...mean, ...Object.fromEntries(metrics.map((metric) => [metric, figures[metric] ?? NaN])) };
  };
}
