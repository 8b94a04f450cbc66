import type { Hash } from 'node:crypto';
import { MaasError, type Place } from '../../errors.js';
import type { Fields } from './fields.js';
import type { RawTable } from './raw-table.js';

export interface Visitor {
  /** Names of the columns, before any row. */
  header(names: readonly string[]): void;
  /** A row with as many fields as there are columns. True ends the scan. */
  row(fields: Fields): boolean | undefined;
}

export interface ScanOptions {
  /** Is fed the source's bytes. */
  readonly hash?: Hash;
  readonly signal?: AbortSignal;
}

/** A source as records of text. It is read from its beginning at each scan, and need not fit into memory. */
export interface Reader {
  readonly path: string;
  /** @throws MaasError MAAS_DATA_EMPTY, MAAS_DATA_COLUMN (names), MAAS_DATA_SYNTAX. */
  scan(visitor: Visitor, options?: ScanOptions): Promise<void>;
  /** Where a cell is, for an error message; reads the source again. `row` −1 is the names. */
  locate(row: number, column: number): Promise<Place>;
}

/** Reads everything into memory. */
export async function readAll(
  reader: Reader,
  hash: Hash,
  signal: AbortSignal | undefined,
): Promise<RawTable> {
  const { path } = reader;
  const lines: number[] = [];
  let header: readonly string[] = [];
  let columns: string[][] = [];
  await reader.scan(
    {
      header(names) {
        header = names;
        columns = names.map(() => []);
      },
      row(fields) {
        for (let index = 0; index < columns.length; index++) columns[index]!.push(fields.text(index));
        lines.push(fields.line);
        return undefined;
      },
    },
    { hash, signal },
  );
  if (lines.length === 0) throw noRows(path);
  const locate: RawTable['locate'] = (row, column) => reader.locate(row, column);
  return { path, sha256: hash.digest('hex'), header, columns, lines, locate };
}

export function noRows(path: string): MaasError {
  return new MaasError('MAAS_DATA_EMPTY', 'the file has a header line and no rows', {
    place: { file: path },
  });
}
