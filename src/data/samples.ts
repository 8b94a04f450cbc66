import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MaasError } from '../errors.js';
import { decodeTensorFile } from '../ir/onnx/load.js';
import { toNdArray } from '../ir/tensor.js';
import type { FileArray } from './arrays/array-file.js';
import { parseNpy } from './arrays/npy.js';
import { parseNpz } from './arrays/npz.js';
import { formatOf, readSource } from './readers/index.js';

/** Arrays by name, as one file or one test set holds them; `input_0`, `input_1`, … where it has no names. */
export type SampleSet = ReadonlyMap<string, FileArray>;

/**
 * Reads inputs for a model that comes without a project: an NPZ or NPY file; a table (CSV, TSV, JSONL, Parquet), whose
 * columns are arrays; or a folder of NPZ files or of ONNX test sets (`test_data_set_0/input_0.pb`, …).
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_SYNTAX, MAAS_DATA_VALUE.
 */
export async function readSamples(path: string): Promise<readonly SampleSet[]> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (cause) {
    throw new MaasError('MAAS_DATA_MISSING', `there is no calibration data at ${path}`, {
      hint: 'Give an .npz, .npy or .csv file, or a folder of .npz files or ONNX test sets.',
      cause,
    });
  }
  return isFolder ? readFolder(path) : [await readFileSet(path)];
}

async function readFolder(folder: string): Promise<SampleSet[]> {
  const names = (await readdir(folder)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const inputs = names.filter((name) => /^input_\d+\.pb$/.test(name));
  if (inputs.length > 0) {
    const arrays = inputs.map(async (name) => {
      const constant = decodeTensorFile(await readFile(join(folder, name)), join(folder, name));
      const { dims, data } = toNdArray(constant.tensor);
      return [constant.name || name.slice(0, -3), { dims, data }] as const;
    });
    return [new Map(await Promise.all(arrays))];
  }
  const sets: SampleSet[] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (name.endsWith('.npz')) sets.push(await readFileSet(path));
    else if (name.startsWith('test_data_set_')) sets.push(...(await readFolder(path)));
  }
  if (sets.length > 0) return sets;
  throw new MaasError('MAAS_DATA_EMPTY', `${folder} holds no .npz file and no ONNX test set`, {
    place: { file: folder },
    hint: 'Save the inputs with numpy.savez, an array for each input of the model.',
  });
}

async function readFileSet(path: string): Promise<SampleSet> {
  const format = formatOf(path);
  if (format?.kind === 'npz') return parseNpz(await readFile(path), path);
  if (format?.kind === 'npy') {
    return new Map([['input_0', parseNpy(await readFile(path), path, basename(path))]]);
  }
  const { header, columns } = await readSource(path);
  return new Map(
    header.map((name, index) => {
      const cells = columns[index]!;
      const numbers = Float64Array.from(cells, (cell) => (cell.trim() === '' ? NaN : Number(cell)));
      const data = numbers.every((value) => !Number.isNaN(value)) ? numbers : cells;
      return [name, { dims: [cells.length], data }];
    }),
  );
}
