import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { MaasError } from '../errors.js';
import type { NdArray } from '../ir/tensor.js';
import { cellType, type DataConfig } from './config.js';
import type { Dataset, Table } from './dataset.js';
import { takeUnlabelled } from './drop-rows.js';
import { encodeRows } from './encode-rows.js';
import { imageColumns, openImages } from './images/open-images.js';
import { decodeImages } from './images/pixels.js';
import { missingTest } from './missing.js';
import { expandedSize, holdsArrays, isFolder, readSource, type RawTable } from './readers/index.js';
import { gatherColumn } from './rows.js';

export interface UnlabelledOptions {
  readonly root: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The inputs of the rows whose target is missing, which `missing: {target: drop}` leaves out of the dataset. None where there are none.
 * @throws MaasError MAAS_DATA_*: what is wrong with a cell, with its line; MAAS_DATA_COLUMN for sources whose rows all have a target,
 * or that are not read into memory.
 */
export async function readUnlabelled(
  config: DataConfig,
  { signature }: Pick<Dataset, 'signature'>,
  { root, signal }: UnlabelledOptions,
): Promise<Pick<Table, 'rows' | 'lines' | 'inputs'>> {
  const path = resolve(root, config.source);
  const size = config.text || isFolder(config.source) || holdsArrays(path) ? 0 : (await stat(path)).size;
  if (size === 0 || expandedSize(path, size) > config.memory * 2 ** 20) {
    const why =
      size === 0
        ? 'this source has no rows without a target'
        : 'this source is too large for that (data.memory)';
    throw new MaasError(
      'MAAS_DATA_COLUMN',
      `rows without a target are those of a table that is read into memory: ${why}`,
      {
        place: { file: path },
      },
    );
  }
  const { delimiter, sql } = config;
  const table = takeUnlabelled(await readSource(path, { delimiter, sql, ...(signal && { signal }) }), config);
  const rows = table.lines.length;
  const valueOf = new Map<string, (row: number) => unknown>();
  for (const { name, type } of signature.features) {
    const cells = table.columns[table.header.indexOf(name)] ?? [];
    if (type === 'image') continue;
    const isMissing = missingTest(
      cellType(config, name) ?? (type === 'number' ? 'number' : 'category'),
      config,
    );
    const read = type === 'number' ? Number : String;
    valueOf.set(name, (row) => (isMissing(cells[row]!) ? null : read(cells[row]!)));
  }
  for (const [name, pixels] of await readPixels(table, config, { root, signal })) valueOf.set(name, pixels);
  const objects = Array.from({ length: rows }, (_, row) =>
    Object.fromEntries([...valueOf].map(([name, read]) => [name, read(row)])),
  );
  const encoded = encodeRows(signature, objects);
  if (encoded.ok) return { rows, lines: Uint32Array.from(table.lines), inputs: encoded.inputs };
  const [{ row, field, message }] = encoded.errors as [(typeof encoded.errors)[number]];
  throw new MaasError('MAAS_DATA_VALUE', message.replace(/^row \d+: /, 'a row without a target: '), {
    place: await table.locate(row, table.header.indexOf(field ?? '')),
  });
}

/** Reads of each column of images the pixels of a row. */
async function readPixels(
  table: RawTable,
  config: DataConfig,
  { root, signal }: UnlabelledOptions,
): Promise<Map<string, (row: number) => Uint8Array>> {
  const names = table.lines.length > 0 ? imageColumns(config) : [];
  if (names.length === 0) return new Map();
  const { images } = await openImages(table, names, config, signal);
  const options = {
    root,
    memory: config.memory * 2 ** 20,
    resizes: config.images?.size !== undefined,
    signal,
  };
  const found = new Map<string, (row: number) => Uint8Array>();
  for (const image of images) {
    const pixels = await decodeImages(image, options);
    found.set(image.name, (row) => (gatherColumn(pixels, [row]) as NdArray<'uint8'>).data);
  }
  return found;
}
