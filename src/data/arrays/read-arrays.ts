import { createHash, hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { MaasError } from '../../errors.js';
import { sizeOf, type TypedArray } from '../../ir/tensor.js';
import { didYouMean } from '../../suggest.js';
import { holdsTokens, type DataConfig } from '../config.js';
import { checkSource, digestSource, formatOf, type RawTable } from '../readers/index.js';
import { badArray, type FileArray } from './array-file.js';
import { parseIdx } from './idx.js';
import { parseNpy } from './npy.js';
import { parseNpz } from './npz.js';

/** What the array of a file that holds one is called. */
const single = 'x';

/** A feature of several numbers a row. */
export interface ArrayColumn {
  readonly name: string;
  /** Of one row. */
  readonly shape: readonly number[];
  /** [rows, …shape]; whole numbers where they are ids. */
  readonly values: Float32Array | BigInt64Array;
  /** One more than the greatest, where they are ids. */
  readonly ids?: number;
}

export interface ArraySource {
  /**
   * Arrays of one number or text a row as columns, and of the others a digest a row: rows with the same are alike. Lines
   * are the rows' numbers, from 1.
   */
  readonly table: RawTable;
  readonly arrays: readonly ArrayColumn[];
}

/** Files that the config names; their digest is that of the data. */
function arrayFiles(config: DataConfig, root: string): string[] {
  const source = resolve(root, config.source);
  return formatOf(source)?.kind === 'npz' ? [source] : [source, resolve(root, config.target)];
}

/** sha256 of the digests of the files, in hex. */
export async function digestArrays(config: DataConfig, root: string, signal?: AbortSignal): Promise<string> {
  const digest = createHash('sha256');
  for (const file of arrayFiles(config, root)) digest.update(await digestSource(file, signal));
  return digest.digest('hex');
}

/**
 * Reads arrays: those of an NPZ file by their names, or that of a single file under the name `x`, with the target in a
 * file of its own, which `data.target` names.
 * @throws MaasError MAAS_DATA_*.
 */
export async function readArrays(config: DataConfig, root: string): Promise<ArraySource> {
  const files = arrayFiles(config, root);
  const path = files[0]!;
  const digest = createHash('sha256');
  const found = new Map<string, FileArray>();
  for (const [index, file] of files.entries()) {
    await checkSource(file);
    const bytes = await readFile(file);
    digest.update(hash('sha256', bytes));
    for (const [name, array] of parseFile(bytes, file, index === 0))
      found.set(index === 0 ? name : config.target, array);
  }
  const rows = countRows(found, config, path);
  const chosen = choose(found, config, path);
  const columns = [...found.values()].map((array) => {
    const isScalar = sizeOf(array.dims.slice(1)) === 1;
    return isScalar ? Array.from(array.data as ArrayLike<string | number>, String) : digestRows(array, rows);
  });
  const arrays = chosen
    .filter((name) => sizeOf(found.get(name)!.dims.slice(1)) !== 1)
    .map((name) =>
      holdsTokens(config, name)
        ? toTokens(name, found.get(name)!, path)
        : toColumn(name, found.get(name)!, path),
    );
  return {
    table: {
      path,
      sha256: digest.digest('hex'),
      header: [...found.keys()],
      columns,
      lines: Array.from({ length: rows }, (_, row) => row + 1),
      locate: (row) => Promise.resolve({ file: path, ...(row >= 0 && { line: row + 1 }) }),
    },
    arrays,
  };
}

function parseFile(bytes: Buffer, path: string, isSource: boolean): Map<string, FileArray> {
  const format = formatOf(path);
  let content = bytes;
  try {
    if (format?.gzip) content = gunzipSync(bytes);
  } catch {
    throw badArray(path, 'the file is no gzip file, or is damaged');
  }
  if (format?.kind === 'npz' && isSource) return parseNpz(content, path);
  if (format?.kind === 'npy') return new Map([[single, parseNpy(content, path, basename(path))]]);
  if (format?.kind === 'idx') return new Map([[single, parseIdx(content, path)]]);
  throw new MaasError('MAAS_DATA_COLUMN', `the target "${basename(path)}" is no file of one array`, {
    place: { file: path },
    hint: 'Name the file with the labels, .npy or IDX, relative to the config.',
  });
}

function countRows(found: ReadonlyMap<string, FileArray>, { target }: DataConfig, path: string): number {
  if (!found.has(target)) {
    throw new MaasError('MAAS_DATA_COLUMN', `there is no array "${target}", which data.target names`, {
      place: { file: path },
      hint: didYouMean(target, [...found.keys()]) ?? `The arrays are: ${[...found.keys()].join(', ')}.`,
    });
  }
  const rows = found.get(target)!.dims[0] ?? 0;
  const other = [...found].find(([, { dims }]) => dims[0] !== rows);
  if (other) {
    throw badArray(
      path,
      `"${other[0]}" has ${other[1].dims[0] ?? 'no'} rows, the target has ${rows}`,
      'The first axis of each array is the row.',
    );
  }
  if (rows === 0)
    throw new MaasError('MAAS_DATA_EMPTY', 'the arrays have no rows', { place: { file: path } });
  if (sizeOf(found.get(target)!.dims.slice(1)) !== 1) {
    throw badArray(
      path,
      `the target "${target}" has several numbers a row`,
      'A target is one number or text a row.',
    );
  }
  return rows;
}

/** Names of the features. */
function choose(
  found: ReadonlyMap<string, FileArray>,
  { target, features, exclude = [] }: DataConfig,
  path: string,
): string[] {
  const unknown = [...(features ?? []), ...exclude].find((name) => !found.has(name));
  if (unknown !== undefined) {
    throw new MaasError(
      'MAAS_DATA_COLUMN',
      `there is no array "${unknown}", which data.features or data.exclude names`,
      {
        place: { file: path },
        hint: didYouMean(unknown, [...found.keys()]) ?? `The arrays are: ${[...found.keys()].join(', ')}.`,
      },
    );
  }
  return [...found.keys()].filter(
    (name) => features?.includes(name) ?? (name !== target && !exclude.includes(name)),
  );
}

function toColumn(name: string, { dims, data }: FileArray, path: string): ArrayColumn {
  if (Array.isArray(data))
    throw badArray(path, `"${name}" has several texts a row`, 'List it under data.exclude.');
  const values = Float32Array.from(data as ArrayLike<number | bigint>, Number);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad === -1) return { name, shape: dims.slice(1), values };
  const width = values.length / dims[0]!;
  const row = Math.floor(bad / width);
  throw new MaasError(
    'MAAS_DATA_VALUE',
    `"${name}" has ${values[bad]} in row ${row + 1}, at element ${bad % width}`,
    {
      place: { file: path },
      hint: 'Replace it before the array is saved, for instance with numpy.nan_to_num.',
    },
  );
}

/** More than this many ids would be a table of vectors that no memory holds. */
const mostIds = 2 ** 24;

function toTokens(name: string, { dims, data }: FileArray, path: string): ArrayColumn {
  const values = Array.isArray(data) ? [] : Array.from(data as ArrayLike<number | bigint>, Number);
  const bad = values.findIndex((value) => !Number.isInteger(value) || value < 0 || value >= mostIds);
  if (Array.isArray(data) || bad >= 0) {
    const row = Math.floor(bad / (values.length / dims[0]!)) + 1;
    const found = bad >= 0 ? `${values[bad]} in row ${row}` : 'texts';
    throw new MaasError(
      'MAAS_DATA_VALUE',
      `data.types says that "${name}" holds ids, whole numbers from 0 to ${mostIds - 1}; it has ${found}`,
      { place: { file: path }, hint: 'Number the tokens from 0, or leave the column out of data.types.' },
    );
  }
  const ids = values.reduce((most, value) => Math.max(most, value), 0) + 1;
  return { name, shape: dims.slice(1), values: BigInt64Array.from(values, BigInt), ids };
}

function digestRows({ data, dims }: FileArray, rows: number): string[] {
  if (Array.isArray(data)) {
    const width = sizeOf(dims.slice(1));
    return Array.from({ length: rows }, (_, row) =>
      JSON.stringify(data.slice(row * width, (row + 1) * width)),
    );
  }
  const { buffer, byteOffset, byteLength } = data as TypedArray;
  const width = byteLength / rows;
  return Array.from({ length: rows }, (_, row) =>
    hash('sha256', new Uint8Array(buffer, byteOffset + row * width, width)),
  );
}
