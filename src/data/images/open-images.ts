import { createHash, hash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { MaasError, type Place } from '../../errors.js';
import type { DataConfig } from '../config.js';
import { isMissingText, whyMissing } from '../cells.js';
import type { RawTable } from '../readers/index.js';
import { BadImage } from './bad-image.js';
import { measureImage } from './decode.js';
import { listFolder } from './list-folder.js';
import { decoderVersion } from './sharp.js';
import {
  colorModes,
  folderColumn,
  imageOptions,
  shapeOf,
  type ImageOptions,
  type ImageSpec,
} from './spec.js';

/** Bytes of a file, at most. */
const mostBytes = 2 ** 28;
/** Files that are worked at together. */
const together = 8;
/** A folder with a thousand bad files is understood from the first few. */
const mostErrors = 10;

/** A feature that is one image a row. */
export interface ImageColumn {
  readonly name: string;
  readonly spec: ImageSpec;
  /** What reads images here. */
  readonly decoder: string;
  /** [channels, height, width] */
  readonly shape: readonly number[];
  readonly normalization: Pick<ImageOptions, 'mean' | 'std'>;
  /** Of each row: its file, and the sha256 of that in hex. */
  readonly files: readonly string[];
  readonly digests: readonly string[];
  /** What says where a row's image is. */
  locate(row: number): Promise<Place>;
}

export interface ImageSource {
  /** Cells of images are their digests: rows with the same image are alike. */
  readonly table: RawTable;
  readonly images: readonly ImageColumn[];
  readonly notes: readonly string[];
}

/** The columns of a table that hold images, as the config says. */
export function imageColumns({ types = {}, features, exclude = [] }: DataConfig): string[] {
  return Object.entries(types)
    .filter(([name, type]) => type === 'image' && (features?.includes(name) ?? !exclude.includes(name)))
    .map(([name]) => name);
}

/** A folder of class folders as a table of two columns. @throws MaasError MAAS_DATA_* */
export async function readFolder(
  path: string,
  config: DataConfig,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const { files, names, labels, notes } = await listFolder(path);
  const locate = (row: number): Promise<Place> => Promise.resolve({ file: row < 0 ? path : files[row]! });
  const listed = createHash('sha256').update(JSON.stringify(names)).digest('hex');
  const table: RawTable = {
    path,
    sha256: listed,
    header: [folderColumn, config.target],
    columns: [files, labels],
    lines: files.map((_, row) => row + 1),
    locate,
  };
  const found = await openImages(table, [folderColumn], config, signal);
  return { ...found, notes };
}

/**
 * The table with the digests of its images in place of their paths, which are relative to the table's folder.
 * @throws MaasError MAAS_DATA_VALUE, MAAS_DATA_MISSING for files; MAAS_ENGINE_MISSING without what reads images.
 */
export async function openImages(
  table: RawTable,
  names: readonly string[],
  config: DataConfig,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const given = config.images ?? imageOptions.parse({});
  const { size, mean, std, ...how } = given;
  const decoder = await decoderVersion();
  const digest = createHash('sha256').update(table.sha256).update(decoder);
  digest.update(JSON.stringify([size ?? null, how.fit, how.colorMode, how.background.toLowerCase()]));
  const columns = [...table.columns];
  const images: ImageColumn[] = [];
  for (const name of names) {
    const index = table.header.indexOf(name);
    if (index === -1) continue;
    const cells = table.columns[index]!;
    const locate = (row: number): Promise<Place> => table.locate(row, index);
    await refuseGaps(cells, name, locate);
    const files = cells.map((cell) => resolve(dirname(table.path), cell));
    const digests: string[] = [];
    for await (const found of readFiles({ files, locate }, (bytes) => hash('sha256', bytes), signal))
      digests.push(...found);
    const [height, width] = size ?? (await measureFirst(files[0]!));
    const { fit, colorMode, background } = how;
    const spec: ImageSpec = { height, width, channels: colorModes[colorMode], fit, background };
    for (const each of digests) digest.update(each);
    columns[index] = digests;
    images.push({
      name,
      spec,
      decoder,
      shape: shapeOf(spec),
      normalization: { mean, std },
      files,
      digests,
      locate,
    });
  }
  return { table: { ...table, columns, sha256: digest.digest('hex') }, images, notes: [] };
}

async function refuseGaps(
  cells: readonly string[],
  name: string,
  locate: (row: number) => Promise<Place>,
): Promise<void> {
  const row = cells.findIndex((cell) => isMissingText(cell) || /^[a-z]+:\/\//i.test(cell));
  if (row === -1) return;
  const cell = cells[row]!;
  const isAddress = !isMissingText(cell);
  throw new MaasError(
    'MAAS_DATA_VALUE',
    `column "${name}" ${isAddress ? `is an address (${cell})` : whyMissing(cell)} in this row`,
    {
      place: await locate(row),
      hint: isAddress
        ? 'Fetch the images first, and name the files.'
        : 'Name an image file, or drop the row: there is nothing that stands for an image.',
    },
  );
}

async function measureFirst(file: string): Promise<[number, number]> {
  try {
    return await measureImage(await readFile(file));
  } catch (error) {
    if (error instanceof BadImage) throw badImage({ file }, error);
    throw error;
  }
}

/**
 * Reads files, and does something with each; what comes of it, some at a time and in order.
 * @throws MaasError for the first that cannot be read or is bad, with some others.
 */
export async function* readFiles<Result>(
  { files, locate }: Pick<ImageColumn, 'files' | 'locate'>,
  work: (bytes: Buffer, row: number) => Result | Promise<Result>,
  signal?: AbortSignal,
): AsyncGenerator<Result[]> {
  const errors: MaasError[] = [];
  for (let start = 0; start < files.length; start += together) {
    signal?.throwIfAborted();
    const chunk = files.slice(start, start + together);
    const settled = await Promise.allSettled(
      chunk.map(async (file, at) => work(await readImage(file), start + at)),
    );
    const results: Result[] = [];
    for (const [at, outcome] of settled.entries()) {
      if (outcome.status === 'fulfilled') results.push(outcome.value);
      else errors.push(explain(outcome.reason, chunk[at]!, await locate(start + at)));
    }
    if (errors.length >= mostErrors) break;
    if (errors.length === 0) yield results;
  }
  const [first, ...others] = errors;
  if (!first) return;
  const { code, message, place, hint } = first;
  throw new MaasError(code, message, {
    ...(place && { place }),
    hint,
    cause: first.cause,
    others: others.slice(0, mostErrors - 1),
  });
}

async function readImage(file: string): Promise<Buffer> {
  const { size } = await stat(file);
  if (size > mostBytes)
    throw new BadImage(`has ${Math.round(size / 2 ** 20)} MB, more than ${mostBytes / 2 ** 20}`);
  return readFile(file);
}

function explain(error: unknown, file: string, place: Place): MaasError {
  if (error instanceof MaasError) return error;
  // A table says in which line; a folder is the file itself.
  const subject = place.file === file ? 'the image' : `the image ${file}`;
  if (error instanceof BadImage) return badImage(place, error, subject);
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  const what = code === 'ENOENT' ? 'is not there' : `cannot be read: ${message}`;
  return new MaasError('MAAS_DATA_MISSING', `${subject} ${what}`, {
    place,
    hint: 'Paths of images are relative to the folder of the file that lists them.',
    cause: error,
  });
}

function badImage(place: Place, error: BadImage, subject = 'the image'): MaasError {
  return new MaasError('MAAS_DATA_VALUE', `${subject} ${error.message}`, {
    place,
    hint: 'Make the file again, or take it out of the data.',
    cause: error,
  });
}
