import { MaasError } from '../../errors.js';
import type { NdArray } from '../../ir/tensor.js';
import type { Session } from '../../runtime/session.js';
import type { RowPolicy } from './batcher.js';
import { hasBatchDimension, type Ports } from './check-inputs.js';
import { findDifference, type Golden } from './golden.js';
import { joinRows, splitRows, takeRows } from '../../runtime/rows.js';

export interface WarmUp {
  readonly rows: RowPolicy;
  /** Why rows run alone. */
  readonly reason?: string;
}

/** Far outside of what the golden rows hold, so that a row that leaks into its neighbours shows. */
const outlier = 1000;

/**
 * Runs the golden rows, so that the first caller pays for no first run, and looks at the answers: alone, each row must
 * give what it gave when the release was made; together with an extreme row, the same again. A model whose
 * activations are quantized over the whole batch (DynamicQuantizeLinear) fails the second: there, one caller's rows
 * would change another's answers, so that each row must run by itself.
 * @throws MaasError MAAS_VERIFY_FAILED when the model does not give its golden outputs on this machine.
 */
export async function warmUp(session: Pick<Session, 'run'>, ports: Ports, golden: Golden): Promise<WarmUp> {
  if (!hasBatchDimension(ports)) {
    verify(await session.run(golden.inputs), golden.outputs, golden.tolerance);
    return { rows: 'as-given' };
  }
  const rows = rowsOf(golden);
  for (const [row, inputs] of rows.entries()) {
    verify(await session.run(inputs), rowOf(golden.outputs, row), golden.tolerance);
  }
  return judgeCompany(session, golden);
}

/** Whether the rows give what they gave alone when an extreme one is beside them. */
export async function judgeCompany(session: Pick<Session, 'run'>, golden: Golden): Promise<WarmUp> {
  const rows = rowsOf(golden);
  if (rows.length === 0) return { rows: 'alone', reason: 'the release has no golden rows to try it with' };
  const crowd = [...rows, scaleRow(rows[0]!, outlier)];
  const outputs = await session.run(joinRows(crowd));
  const parts = splitRows(
    outputs,
    crowd.map(() => 1),
  );
  const difference = parts
    ? rows
        .map((_, row) => findDifference(parts[row]!, rowOf(golden.outputs, row), golden.tolerance))
        .find(Boolean)
    : 'a run of several rows gives another number of rows';
  return difference === undefined
    ? { rows: 'share' }
    : { rows: 'alone', reason: `a row's answer depends on the rows beside it (${difference})` };
}

function verify(got: Record<string, NdArray>, expected: Record<string, NdArray>, tolerance: number): void {
  const difference = findDifference(got, expected, tolerance);
  if (difference === undefined) return;
  throw new MaasError(
    'MAAS_VERIFY_FAILED',
    `the model does not give its golden outputs on this machine: ${difference}`,
    {
      hint: 'Integer kernels differ between CPUs: make the release on a machine like this one, or without quantization.',
    },
  );
}

function rowsOf({ inputs }: Golden): Record<string, NdArray>[] {
  const count = Object.values(inputs)[0]?.dims[0] ?? 0;
  return Array.from({ length: count }, (_, row) => rowOf(inputs, row));
}

function rowOf(arrays: Readonly<Record<string, NdArray>>, row: number): Record<string, NdArray> {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, takeRows(array, row, 1)]));
}

/** Multiplies the real-valued inputs; text and integers may be indices and stay. */
function scaleRow(row: Readonly<Record<string, NdArray>>, factor: number): Record<string, NdArray> {
  return Object.fromEntries(
    Object.entries(row).map(([name, array]): [string, NdArray] => {
      const { data, dims } = array;
      if (data instanceof Float32Array) {
        return [name, { dtype: 'float32', dims, data: data.map((value) => value * factor) }];
      }
      if (data instanceof Float64Array) {
        return [name, { dtype: 'float64', dims, data: data.map((value) => value * factor) }];
      }
      return [name, array];
    }),
  );
}
