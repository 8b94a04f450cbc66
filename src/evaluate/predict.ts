import type { Table } from '../data/dataset.js';
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
    const labels: string[] = [];
    const chunks: Float32Array[] = [];
    for (let start = 0; start < table.rows; start += batchSize) {
      const feeds = sliceRows(table.inputs, start, Math.min(start + batchSize, table.rows));
      await giveWay(signal);
      const outputs = await session.run(feeds);
      const classification = signature.task === 'classification';
      if (classification) for (const label of outputOf(session, outputs, 'label')) labels.push(String(label));
      const values = outputOf(session, outputs, classification ? 'probabilities' : 'prediction');
      chunks.push(Float32Array.from(values as ArrayLike<number>));
    }
    return { rows: table.rows, labels, values: concat(chunks) };
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

export function concat(chunks: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}
