import { createHash, hash } from 'node:crypto';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { asDiskError, MaasError } from '../../errors.js';
import { sizeOf, type NdArray } from '../../ir/tensor.js';
import type { Column, Statistics } from '../dataset.js';
import { KeptFolders } from '../kept-folders.js';
import { gatherColumn } from '../rows.js';
import { BadImage } from './bad-image.js';
import { measureImage, openDecoder } from './decode.js';
import { readFiles, type ImageColumn } from './open-images.js';

/** Raise it when the same files and spec give other pixels, or lie on disk in another way. */
const version = 1;
/** Sets of pixels that stay. */
const keptSets = 4;

export interface PixelOptions {
  /** Folder of the project. */
  readonly root: string;
  /** Bytes of pixels from which they are left on disk. */
  readonly memory: number;
  /** Whether images of another size are brought to the spec's, or refused. */
  readonly resizes: boolean;
  readonly signal?: AbortSignal;
}

/**
 * The pixels of all rows, uint8 [rows, channels, height, width]. They are decoded once and kept on disk, whichever way
 * the rows are divided afterwards.
 * @throws MaasError MAAS_DATA_VALUE for images that cannot be decoded, MAAS_DATA_CHANGED.
 */
export async function decodeImages(column: ImageColumn, options: PixelOptions): Promise<Column<'uint8'>> {
  const { spec, decoder, shape, digests } = column;
  const kept = new KeptFolders(join(options.root, '.maas', 'images'), keptSets);
  const digest = createHash('sha256');
  digest.update(JSON.stringify([version, decoder, Object.entries(spec).sort(), digests]));
  const key = digest.digest('hex');
  const length = digests.length * sizeOf(shape);
  const path = join(kept.pathOf(key), 'pixels.bin');
  if (
    await stat(path).then(
      ({ size }) => size === length,
      () => false,
    )
  )
    await kept.touch(key);
  else {
    const folder = await kept.begin();
    try {
      await decodeAll(column, join(folder, 'pixels.bin'), options);
      await kept.keep(folder, key);
    } catch (error) {
      throw asDiskError(error, 'cannot keep the pixels of the images');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const dims = [digests.length, ...shape];
  // Each row is a block of its own: an image is large enough to be read by itself.
  if (length > options.memory) return { dtype: 'uint8', dims, data: { path, offset: 0, length, block: 1 } };
  return { dtype: 'uint8', dims, data: new Uint8Array(await readFile(path)) };
}

async function decodeAll(
  column: ImageColumn,
  path: string,
  { resizes, signal }: PixelOptions,
): Promise<void> {
  const { spec, digests } = column;
  const decoder = await openDecoder(spec);
  const file = await open(path, 'w');
  try {
    const work = async (bytes: Buffer, row: number): Promise<Uint8Array> => {
      if (hash('sha256', bytes) !== digests[row]) throw changed(column.files[row]!);
      if (!resizes) await refuseOtherSize(bytes, column);
      return decoder.decode(bytes);
    };
    for await (const decoded of readFiles(column, work, signal))
      for (const pixels of decoded) await file.writeFile(pixels);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function refuseOtherSize(bytes: Uint8Array, { spec }: ImageColumn): Promise<void> {
  const [height, width] = await measureImage(bytes);
  if (height === spec.height && width === spec.width) return;
  throw new BadImage(
    `has ${height} × ${width} pixels, the first has ${spec.height} × ${spec.width}: say in data.images how large they are to be, such as size: [${spec.height}, ${spec.width}]`,
  );
}

/** Some rows of the pixels, in the order given: in memory if they are there, else where they lie on disk. */
export function takePixels(pixels: Column<'uint8'>, rows: readonly number[]): Column {
  if (!('path' in pixels.data)) return gatherColumn(pixels, rows);
  const dims = [rows.length, ...pixels.dims.slice(1)];
  return { ...pixels, dims, data: { ...pixels.data, order: Uint32Array.from(rows) } };
}

function changed(file: string): MaasError {
  return new MaasError('MAAS_DATA_CHANGED', 'the image was changed while the data was read', {
    place: { file },
    hint: 'Run the command again when nothing writes to the images any more.',
  });
}

/** Mean and deviation (population) of each channel, as parts of 255, by how often there is each value. */
export function measurePixels(
  parts: Iterable<Pick<NdArray, 'data'>>,
  [channels = 1, ...sizes]: readonly number[],
): Statistics {
  const plane = sizeOf(sizes);
  const counts = Array.from({ length: channels }, () => new Float64Array(256));
  for (const { data } of parts) {
    const pixels = data as Uint8Array;
    for (let at = 0; at < pixels.length; at += plane) {
      const count = counts[(at / plane) % channels]!;
      for (let next = at; next < at + plane; next++) count[pixels[next]!]! += 1;
    }
  }
  const figures = counts.map((count) => {
    let [total, sum, squares] = [0, 0, 0];
    count.forEach((times, value) => {
      total += times;
      sum += times * value;
    });
    const mean = sum / total;
    count.forEach((times, value) => (squares += times * (value - mean) ** 2));
    return { mean: mean / 255, deviation: Math.sqrt(squares / total) / 255 };
  });
  return {
    mean: Float32Array.from(figures, ({ mean }) => mean),
    deviation: Float32Array.from(figures, ({ deviation }) => deviation),
  };
}
