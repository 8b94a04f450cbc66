import type { Table } from '../data/dataset.js';
import { headsOf } from '../data/heads.js';
import { sliceRows } from '../data/rows.js';
import type { Signature } from '../data/signature.js';
import { MaasError } from '../errors.js';
import type { NdArray } from '../ir/tensor.js';
import { giveWay } from '../runtime/give-way.js';
import { openSession, type Session } from '../runtime/session.js';

/** What a model says of the rows of a table. Regression has no labels, and one value a row. */
export interface Predictions {
  readonly rows: number;
  readonly labels: readonly string[];
  /** Class probabilities [rows, classes], or the predicted values [rows]. */
  readonly values: Float32Array;
  /** The same of further targets, by name. */
  readonly others?: Readonly<Record<string, Pick<Predictions, 'labels' | 'values'>>>;
}

/** Keeps the activations of a batch within a few MB for models of any common width. */
const defaultBatchSize = 256;

export interface PredictOptions {
  /** Rows of a run. Default 256. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

/**
 * Runs a model over a table in bounded batches.
 * @throws MaasError MAAS_MODEL_INVALID when the model does not give the outputs its signature states.
 */
export async function predict(
  model: Uint8Array | string,
  table: Table,
  signature: Signature,
  { batchSize = defaultBatchSize, signal }: PredictOptions = {},
): Promise<Predictions> {
  const session = await openSession(model);
  try {
    const said = headsOf(signature).map((head) => ({
      head,
      labels: [] as string[],
      chunks: [] as Float32Array[],
    }));
    for (let start = 0; start < table.rows; start += batchSize) {
      const feeds = sliceRows(table.inputs, start, Math.min(start + batchSize, table.rows));
      await giveWay(signal);
      const outputs = await session.run(feeds);
      for (const { head, labels, chunks } of said) {
        if (head.label !== undefined)
          for (const label of outputOf(session, outputs, head.label)) labels.push(String(label));
        chunks.push(Float32Array.from(outputOf(session, outputs, head.values) as ArrayLike<number>));
      }
    }
    const [first, ...others] = said.map(({ head, labels, chunks }) => ({
      name: head.name,
      facts: { labels, values: concat(chunks) },
    }));
    return {
      rows: table.rows,
      ...first!.facts,
      ...(others.length > 0 && {
        others: Object.fromEntries(others.map(({ name, facts }) => [name, facts])),
      }),
    };
  } finally {
    await session.close();
  }
}

function outputOf(
  session: Session,
  outputs: Readonly<Record<string, NdArray>>,
  name: string,
): ArrayLike<unknown> & Iterable<unknown> {
  const output = outputs[name];
  if (!output) {
    const message = `the model gives no output ${name}; it gives ${session.outputs.join(', ')}`;
    throw new MaasError('MAAS_MODEL_INVALID', message);
  }
  return output.data;
}

/** What a model says of one of its targets. */
export function onlyPredictions(predictions: Predictions, name: string): Predictions {
  const { others, rows, labels, values } = predictions;
  return { rows, labels, values, ...others?.[name] };
}

export function concat(chunks: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}
