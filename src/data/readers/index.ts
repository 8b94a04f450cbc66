import { readCsv } from './csv.js';
import { delimiterOf } from './formats.js';
import { checkSource } from './open-source.js';
import type { RawTable, ReadOptions } from './raw-table.js';

export { delimiterOf } from './formats.js';
export { digestSource } from './open-source.js';
export type { RawTable } from './raw-table.js';

/**
 * Reads the source with the reader for its extension.
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_EMPTY, MAAS_DATA_COLUMN (header), MAAS_DATA_SYNTAX.
 */
export async function readSource(path: string, options: ReadOptions = {}): Promise<RawTable> {
  await checkSource(path);
  return readCsv(path, { ...options, delimiter: options.delimiter ?? delimiterOf(path) });
}
