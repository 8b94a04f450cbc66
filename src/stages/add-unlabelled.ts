import { readUnlabelled, type DataConfig, type Dataset, type Table } from '../data/index.js';
import { gatherColumn, lineOf } from '../data/rows.js';
import { MaasError } from '../errors.js';
import { allocate, sizeOf, type NdArray, type NumericDType } from '../ir/tensor.js';
import type { Project } from '../plugin/api.js';

/**
 * A dataset whose train split has the rows without a target, too, whose targets are 0.
 * @throws MaasError MAAS_DATA_*.
 */
export async function addUnlabelled(
  dataset: Dataset,
  { root, config, configFile }: Project,
  signal: AbortSignal,
): Promise<Dataset> {
  const { train } = dataset.splits;
  const more = await readUnlabelled(config['data'] as DataConfig, dataset, { root, signal });
  if (more.rows === 0) {
    throw new MaasError('MAAS_DATA_VALUE', 'there are no rows without a target to learn from', {
      place: { file: configFile },
      hint: 'Leave the cells of the target empty, with data.missing.target: drop; or remove unlabelled.',
    });
  }
  const all = Array.from({ length: train.rows }, (_, row) => row);
  const { dtype, dims } = train.target;
  const blank = [more.rows, ...dims.slice(1)];
  const zeros = { dtype, dims: blank, data: allocate(dtype as NumericDType, sizeOf(blank)) } as NdArray;
  const inputs = Object.keys(train.inputs).map((name): [string, NdArray] => [
    name,
    concatRows(gatherColumn(train.inputs[name]!, all), more.inputs[name] as NdArray),
  ]);
  const table: Table = {
    rows: train.rows + more.rows,
    lines: Uint32Array.from([...all.map((row) => lineOf(train, row)), ...(more.lines as Uint32Array)]),
    inputs: Object.fromEntries(inputs),
    target: concatRows(gatherColumn(train.target, all), zeros),
  };
  return { ...dataset, digest: `${dataset.digest}, unlabelled`, splits: { ...dataset.splits, train: table } };
}

/** Rows of one array, then those of another like it. */
function concatRows(one: NdArray, other: NdArray): NdArray {
  const dims = [one.dims[0]! + other.dims[0]!, ...one.dims.slice(1)];
  if (one.dtype === 'string') {
    return { dtype: 'string', dims, data: [...(one.data as string[]), ...(other.data as string[])] };
  }
  const data = allocate(one.dtype, one.data.length + other.data.length);
  data.set(one.data as never, 0);
  data.set(other.data as never, one.data.length);
  return { ...one, dims, data };
}
