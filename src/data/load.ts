import { createHash } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ConfigPath } from '../config/place.js';
import { asDiskError, MaasError, type Place } from '../errors.js';
import { sizeOf, type NdArray } from '../ir/tensor.js';
import { digestArrays, readArrays, type ArrayColumn, type ArraySource } from './arrays/read-arrays.js';
import { selectColumns, type CategoryColumn, type NumberColumn } from './columns.js';
import { declaredType, holdsTokens, targetsOf, type DataConfig } from './config.js';
import type { Column, Dataset, Statistics, Table } from './dataset.js';
import { describeSchema, type ColumnSchema } from './describe-schema.js';
import { inspectData } from './inspect.js';
import { dropUnlabelled } from './drop-rows.js';
import type { Fold } from './folds.js';
import { imageColumns, openImages, readFolder, type ImageColumn } from './images/open-images.js';
import { decodeImages, measurePixels, takePixels } from './images/pixels.js';
import { fillOf, noteFilled } from './missing.js';
import {
  digestSource,
  expandedSize,
  formatOf,
  holdsArrays,
  isFolder,
  openReader,
  readSource,
  watchSource,
  type RawTable,
} from './readers/index.js';
import { loadText } from './text/load-text.js';
import { loadStream } from './stream/load-stream.js';
import { Shelf } from './stream/shelf.js';
import { describeSignature, numbersInput } from './describe-signature.js';
import type { Feature, Signature } from './signature.js';
import { splitRows, type SplitRows } from './split.js';
import { gatherColumn, partsOf } from './rows.js';
import { measureArray, measureColumns } from './statistics.js';
import { encodeTarget, readTarget } from './target.js';
import { fitTransforms } from './transforms/fit.js';

export interface LoadOptions {
  /** Folder that `source` is relative to. */
  readonly root: string;
  readonly seed: number;
  /** The project's name, for the signature. */
  readonly name: string;
  readonly signal?: AbortSignal;
  /** Divides the rows of train and validation anew. The digest stays: the rows of test are the same. */
  readonly fold?: Fold;
  /** Where a value of the config is written, for errors that only the data shows. */
  readonly placeOf?: (path: ConfigPath) => Place;
}

/** Raise it when the same source and config give other rows or another split. */
const loaderVersion = 2;

/**
 * Reads the data that the config names, checks every cell that is used, splits the rows and encodes them as tensors.
 * Numbers go in one input `features`, float32 [N, F], in the order of the source; each text column is an input of its
 * own, string [N, 1], and so is each array, float32 [N, …], and each image, uint8 [N, channels, height, width].
 * @throws MaasError MAAS_DATA_*; the first thing that is wrong, with its line and column where it has one.
 */
export async function loadDataset(config: DataConfig, options: LoadOptions): Promise<Dataset> {
  const path = resolve(options.root, config.source);
  if (config.text) {
    const { seed, name, signal } = options;
    return loadText(path, config, { name, signal, digest: (sha256) => digestParts(sha256, config, seed) });
  }
  const large = await isLarge(path, config);
  if (large && options.fold) {
    throw new MaasError('MAAS_DATA_SPLIT', 'train.folds is for data in memory, and this is larger', {
      place: { file: path },
      hint: 'Raise data.memory, or leave train.folds out: so many rows validate well without.',
    });
  }
  if (large && config.others) {
    throw new MaasError('MAAS_DATA_COLUMN', 'several targets are for data in memory, and this is larger', {
      place: { file: path },
      hint: 'Raise data.memory, take part of the rows with data.sql, or train a model for each target.',
    });
  }
  if (large && config.task === 'reconstruction') {
    throw new MaasError(
      'MAAS_DATA_COLUMN',
      'data.task: reconstruction is for data in memory, and this is larger',
      {
        place: { file: path },
        hint: 'Raise data.memory, or take part of the rows with data.sql.',
      },
    );
  }
  const loaded = markTexts(await (large ? loadLarge : loadSmall)(path, config, options), config);
  refuseLooseTokens(loaded.signature, config, path);
  const transforms = fitTransforms(config, loaded.signature, loaded.splits.train, path, options.placeOf);
  return { ...loaded, transforms };
}

/** @throws MaasError MAAS_DATA_COLUMN for columns of ids that are no arrays. */
function refuseLooseTokens({ features }: Signature, config: DataConfig, path: string): void {
  const loose = features.find(({ name, ids }) => holdsTokens(config, name) && ids === undefined);
  if (!loose) return;
  throw new MaasError(
    'MAAS_DATA_COLUMN',
    `data.types says tokens for "${loose.name}", which has one value a row`,
    {
      place: { file: path },
      hint: 'Tokens are arrays of ids, of NPZ and NPY files; for one id a row choose category, for words text.',
    },
  );
}

/** Columns of text are read as categories are; here they become what they are. */
function markTexts(dataset: Dataset, config: DataConfig): Dataset {
  const isText = ({ name }: { name: string }) => declaredType(config, name) === 'text';
  const { signature, schema } = dataset;
  if (!signature.features.some(isText)) return dataset;
  const features = signature.features.map((feature): Feature => {
    return isText(feature) ? { ...feature, type: 'text', categories: undefined } : feature;
  });
  const columns = schema?.columns.map((column): ColumnSchema => {
    if (!isText(column) || column.role !== 'feature') return column;
    return { ...column, type: 'text', categories: undefined };
  });
  return {
    ...dataset,
    signature: { ...signature, features },
    ...(schema && columns && { schema: { ...schema, columns } }),
  };
}

async function loadSmall(path: string, config: DataConfig, options: LoadOptions): Promise<Dataset> {
  const { table, arrays, images, notes: found, dropped } = await read(path, config, options);
  const wide = [...arrays, ...images];
  const columns = await selectColumns(
    table,
    config,
    wide.map(({ name }) => name),
  );
  const target = readTarget(columns.target, config, path);
  const others = (columns.others ?? []).map((column, at) => readTarget(column, config.others![at]!, path));
  const rows = splitRows(table, target, config.split, options.seed, options.fold);
  options.signal?.throwIfAborted();

  const numbers = columns.features.filter((column): column is NumberColumn => column.type === 'number');
  const categories = columns.features.filter(
    (column): column is CategoryColumn => column.type === 'category',
  );
  const statistics: Record<string, Statistics> =
    numbers.length > 0
      ? {
          [numbersInput]: measureColumns(
            numbers.map((column) => column.values),
            numbers.map((column) => Number(fillOf(column, rows.train))),
            rows.train,
          ),
        }
      : {};
  for (const { name, shape, values } of arrays) {
    if (values instanceof Float32Array) statistics[name] = measureArray(values, sizeOf(shape), rows.train);
  }
  const pixels = await decode(images, config, options);
  for (const column of images) statistics[column.name] = measureImages(column, pixels[column.name]!, rows);
  const encode = (part: readonly number[]): Table => ({
    rows: part.length,
    lines: Uint32Array.from(part, (row) => table.lines[row]!),
    inputs: {
      ...(numbers.length > 0 && { [numbersInput]: encodeNumbers(numbers, part) }),
      ...Object.fromEntries(categories.map((column) => [column.name, encodeTexts(column, part)])),
      ...Object.fromEntries(arrays.map((array) => [array.name, encodeArray(array, part)])),
      ...Object.fromEntries(images.map(({ name }) => [name, takePixels(pixels[name]!, part)])),
    },
    target: encodeTarget(target, part),
    ...(others.length > 0 && {
      others: Object.fromEntries(others.map((other) => [other.name, encodeTarget(other, part)])),
    }),
  });
  const digest = digestParts(table.sha256, config, options.seed);
  const notes = [
    ...found,
    ...(dropped > 0
      ? [`left out ${dropped} rows without a value for ${targetsOf(config).join(' or ')}`]
      : []),
    ...noteFilled(columns.features, rows.train),
    ...inspectData(
      columns,
      target,
      rows,
      table.lines,
      asColumns(wide, table),
      others,
      (name) => declaredType(config, name) === 'text',
    ),
  ];
  return {
    digest,
    signature: {
      ...describeSignature(columns, target, rows.train, options.name, digest, wide, others),
      ...(config.task === 'reconstruction' && { reconstructs: true as const }),
    },
    statistics,
    schema: describeSchema(table, columns, rows, wide),
    notes,
    splits: { train: encode(rows.train), validation: encode(rows.validation), test: encode(rows.test) },
  };
}

/** What a source that fits into memory holds; pixels of images are not among it. */
interface Source extends ArraySource {
  readonly images: readonly ImageColumn[];
  readonly notes: readonly string[];
  /** Rows without a target that were left out. */
  readonly dropped: number;
}

async function read(
  path: string,
  config: DataConfig,
  { root, signal }: Pick<LoadOptions, 'root' | 'signal'>,
): Promise<Source> {
  const none = { arrays: [], images: [], notes: [], dropped: 0 };
  if (isFolder(config.source)) return { ...none, ...(await readFolder(path, config, signal)) };
  if (holdsArrays(path)) {
    const found = await watchSource(path, () => readArrays(config, root));
    return { ...none, ...found, ...(found.arrays.length === 0 && dropUnlabelled(found.table, config)) };
  }
  const { delimiter, sql } = config;
  const source = dropUnlabelled(await readSource(path, { delimiter, sql, signal }), config);
  const names = imageColumns(config);
  if (names.length === 0) return { ...none, ...source };
  return { ...none, ...source, ...(await openImages(source.table, names, config, signal)) };
}

/** Pixels by the names of their columns. */
async function decode(
  images: readonly ImageColumn[],
  { images: how, memory }: DataConfig,
  { root, signal }: LoadOptions,
): Promise<Record<string, Column<'uint8'>>> {
  const options = { root, memory: memory * 2 ** 20, resizes: how?.size !== undefined, signal };
  const decoded: Record<string, Column<'uint8'>> = {};
  for (const column of images) decoded[column.name] = await decodeImages(column, options);
  return decoded;
}

/** What the config says of a column's mean and deviation, or what the train split has. */
function measureImages(
  { shape, normalization: { mean, std } }: ImageColumn,
  pixels: Column<'uint8'>,
  { train }: SplitRows,
): Statistics {
  if (mean && std) return { mean: Float32Array.from(mean), deviation: Float32Array.from(std) };
  return measurePixels(partsOf(takePixels(pixels, train)), shape);
}

/** Whether a source is left on disk. Arrays are read into memory always; of images that is the pixels' own matter. */
async function isLarge(path: string, config: DataConfig): Promise<boolean> {
  if (holdsArrays(path) || isFolder(config.source) || config.text) return false;
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (expandedSize(path, size) <= config.memory * 2 ** 20) return false;
  if (imageColumns(config).length === 0) return true;
  throw new MaasError('MAAS_DATA_COLUMN', 'a list of images is read into memory, and this one is too large', {
    place: { file: path },
    hint: `Raise data.memory above ${Math.ceil(expandedSize(path, size) / 2 ** 20)} (MB): of the images only the list counts.`,
  });
}

/** Encoded data lies beside the artifacts, for all stages. */
async function loadLarge(
  path: string,
  config: DataConfig,
  { root, seed, name, signal }: LoadOptions,
): Promise<Dataset> {
  const shelf = new Shelf(join(root, '.maas', 'data'));
  if (!(await shelf.isEmpty())) {
    const found = await shelf.find(await digestDataset(config, { root, seed, signal }), name);
    if (found) return found;
  }
  const reader = await openReader(path, { delimiter: config.delimiter, sql: config.sql });
  const folder = await shelf.begin();
  try {
    const bytes = expandedSize(path, (await stat(path)).size);
    const { sha256, kept } = await watchSource(path, () =>
      loadStream(reader, { config, seed, folder, bytes, signal }),
    );
    return await shelf.keep(folder, kept, digestParts(sha256, config, seed, true), name);
  } catch (error) {
    throw asDiskError(error, 'cannot keep the encoded data');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The digest that `loadDataset` would give, without looking at the rows.
 * @throws MaasError MAAS_DATA_MISSING or MAAS_DATA_EMPTY.
 */
export async function digestDataset(
  config: DataConfig,
  { root, seed, signal }: Pick<LoadOptions, 'root' | 'seed' | 'signal'>,
): Promise<string> {
  const path = resolve(root, config.source);
  return digestParts(
    await digestBytes(path, config, { root, signal }),
    config,
    seed,
    await isLarge(path, config),
  );
}

async function digestBytes(
  path: string,
  config: DataConfig,
  { root, signal }: Pick<LoadOptions, 'root' | 'signal'>,
): Promise<string> {
  if (config.text) return digestSource(path, signal);
  if (holdsArrays(path)) return digestArrays(config, root, signal);
  if (isFolder(config.source) || imageColumns(config).length > 0)
    return (await read(path, config, { root, signal })).table.sha256;
  return digestSource(path, signal);
}

/** Where the source lies does not matter, what is in it does. Large data is shuffled block by block. */
function digestParts(sha256: string, config: DataConfig, seed: number, large = false): string {
  const { target, others, features, exclude, types, task, split, missing, delimiter, sql, transforms, text } =
    config;
  // What a transform does to a value is no matter of the rows.
  const implied = Object.fromEntries(
    Object.keys(transforms.columns ?? {}).map((name) => [name, declaredType(config, name)]),
  );
  const byName = <Value>(record: Readonly<Record<string, Value>> = {}): [string, Value][] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = [
    loaderVersion,
    sha256,
    seed,
    target,
    features?.toSorted() ?? null,
    exclude?.toSorted() ?? null,
    byName({ ...types, ...implied }),
    task ?? null,
    [split.train, split.validation, split.test, split.by ?? 'class', split.group ?? null, split.time ?? null],
    [missing.numbers, missing.categories, missing.target, missing.markers ?? null, byName(missing.columns)],
    delimiter ?? formatOf(config.source)?.delimiter ?? ',',
    ...(large ? ['large'] : []),
    ...(sql === undefined ? [] : ['sql', sql]),
    ...(others ? ['others', ...others.map(({ name, task: its }) => [name, its ?? null])] : []),
    ...(text ? ['text', text.context, text.stride ?? text.context] : []),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function encodeNumbers(columns: readonly NumberColumn[], rows: readonly number[]): NdArray {
  const data = new Float32Array(rows.length * columns.length);
  let at = 0;
  for (const row of rows) for (const column of columns) data[at++] = column.values[row]!;
  return { dtype: 'float32', dims: [rows.length, columns.length], data };
}

function encodeTexts(column: CategoryColumn, rows: readonly number[]): NdArray {
  return { dtype: 'string', dims: [rows.length, 1], data: rows.map((row) => column.values[row]!) };
}

function encodeArray({ shape, values }: ArrayColumn, rows: readonly number[]): NdArray {
  const all = values.length / sizeOf(shape);
  const dtype = values instanceof Float32Array ? 'float32' : 'int64';
  return gatherColumn({ dtype, dims: [all, ...shape], data: values }, rows);
}

/** Arrays as columns of their digests, by which rows are found alike. */
function asColumns(
  arrays: readonly Pick<ArrayColumn, 'name'>[],
  { header, columns }: RawTable,
): CategoryColumn[] {
  return arrays.map(({ name }) => ({
    name,
    type: 'category',
    values: columns[header.indexOf(name)]!,
    rule: 'error',
    named: false,
    missing: 0,
    written: [],
  }));
}
