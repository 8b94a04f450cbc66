import { createHash } from 'node:crypto';
import { openCsv } from './csv.js';
import { openDuckDb } from './duckdb.js';
import { formatOf } from './formats.js';
import { openJsonLines } from './json-lines.js';
import { checkSource, watchSource } from './open-source.js';
import type { RawTable, ReadOptions } from './raw-table.js';
import { readAll, type Reader } from './reader.js';

export type { Fields } from './fields.js';
export { expandedSize, formatOf, holdsArrays, isFolder } from './formats.js';
export { checkSource, describeOpenError, digestSource, watchSource } from './open-source.js';
export type { RawTable } from './raw-table.js';
export { noRows, type Reader } from './reader.js';

/**
 * The reader for the source's extension.
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_EMPTY.
 */
export async function openReader(path: string, { delimiter, sql }: ReadOptions = {}): Promise<Reader> {
  await checkSource(path);
  const format = formatOf(path);
  if (sql !== undefined || format?.kind === 'parquet') return openDuckDb(path, { sql, delimiter });
  if (format?.kind === 'lines') return openJsonLines(path);
  return openCsv(path, delimiter ?? format?.delimiter ?? ',');
}

/**
 * Reads the source into memory.
 * @throws MaasError MAAS_DATA_MISSING, MAAS_DATA_EMPTY, MAAS_DATA_COLUMN (header), MAAS_DATA_SYNTAX, MAAS_DATA_CHANGED.
 */
export async function readSource(path: string, options: ReadOptions = {}): Promise<RawTable> {
  const reader = await openReader(path, options);
  return watchSource(path, () => readAll(reader, createHash('sha256'), options.signal));
}
