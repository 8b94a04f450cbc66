import type { Table } from '../../../../data/dataset.js';
import { GraphBuilder } from '../../../../ir/builder.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { removeDead, stripDropout } from '../../../../ir/rewrite.js';
import type { NdArray } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { openSession } from '../../../../runtime/session.js';
import { columnsOf, prepareBatches } from './batches.js';
import { emitAccuracy } from './figures.js';
import { emitLoss, forwardOf, openWeights } from './forward.js';

/** Rows per run: enough to keep the overhead of a run small, few enough for wide activations. */
const chunk = 256;

/** Measures weights on a table. */
export interface Check {
  /** `loss`, and `accuracy` for classification: means over the rows. */
  run(weights: Readonly<Record<string, NdArray>>): Promise<Record<string, number>>;
  close(): Promise<void>;
}

/** Opens a session that runs forward only, in the model's form for inference, with the weights as inputs. */
export async function openCheck(job: TrainJob, parameters: readonly string[], table: Table): Promise<Check> {
  const forward = forwardOf(job);
  const g = new GraphBuilder(openWeights(stripDropout(forward), parameters));
  const { target, loss } = emitLoss(g, job);
  const classification = job.dataset.signature.task === 'classification';
  const figures = { loss, ...(classification && { accuracy: emitAccuracy(g, job.prediction, target) }) };
  for (const name of Object.values(figures)) g.output(name);
  const model = { ...job.model, graph: removeDead(g.build()) };
  const session = await openSession(encodeModel(model), { threads: job.threads, optimization: 'basic' });

  const inputs = forward.inputs.map(({ name }) => name);
  const most = Math.min(Math.max(chunk, job.batchSize), table.rows);
  const take = prepareBatches(columnsOf({ inputs, target }, table));
  const order = Uint32Array.from({ length: table.rows }, (_, row) => row);
  return {
    async run(weights) {
      const sums = new Map(Object.keys(figures).map((figure) => [figure, 0]));
      const feeds = { ...weights };
      for (let start = 0; start < table.rows; start += most) {
        const rows = Math.min(most, table.rows - start);
        const found = await session.run(Object.assign(feeds, take(order, start, [rows])));
        for (const [figure, name] of Object.entries(figures)) {
          sums.set(figure, sums.get(figure)! + Number(found[name]!.data[0]) * rows);
        }
      }
      return Object.fromEntries([...sums].map(([figure, sum]) => [figure, sum / table.rows]));
    },
    close: () => session.close(),
  };
}
