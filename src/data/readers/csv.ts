import { createHash } from 'node:crypto';
import { MaasError } from '../../errors.js';
import { checkHeader } from './check-header.js';
import type { Fields } from './fields.js';
import { locateField } from './locate-field.js';
import { streamSource } from './open-source.js';
import type { RawTable, ReadOptions } from './raw-table.js';
import { scanCsv } from './scan-csv.js';

interface CsvOptions extends ReadOptions {
  readonly delimiter: string;
}

/**
 * Reads delimited text with a header line.
 * @throws MaasError MAAS_DATA_EMPTY, MAAS_DATA_COLUMN for the header, MAAS_DATA_SYNTAX for rows that do not fit it.
 */
export async function readCsv(path: string, { delimiter, signal }: CsvOptions): Promise<RawTable> {
  const hash = createHash('sha256');
  const lines: number[] = [];
  let header: string[] | undefined;
  let headerLine = 1;
  let columns: string[][] = [];

  const add = (fields: Fields): undefined => {
    if (header === undefined) {
      header = fields.texts();
      headerLine = fields.line;
      checkHeader(header, { path, raw: fields.raw(), line: fields.line, delimiter });
      columns = header.map(() => []);
      return;
    }
    if (fields.count !== header.length) throw wrongCount(path, fields, header.length, delimiter);
    for (let index = 0; index < columns.length; index++) columns[index]!.push(fields.text(index));
    lines.push(fields.line);
  };

  await scanCsv(path, streamSource(path, { hash, signal }), delimiter, add);
  if (header === undefined)
    throw new MaasError('MAAS_DATA_EMPTY', 'the file has blank lines only', { place: { file: path } });
  if (lines.length === 0) {
    throw new MaasError('MAAS_DATA_EMPTY', 'the file has a header line and no rows', {
      place: { file: path },
    });
  }
  return {
    path,
    sha256: hash.digest('hex'),
    header,
    columns,
    lines,
    async locate(row, column) {
      let count = -1;
      let found = '';
      const find = (fields: Fields): boolean => {
        if (count++ !== row) return false;
        found = fields.raw();
        return true;
      };
      await scanCsv(path, streamSource(path, { signal }), delimiter, find);
      return locateField(path, found, lines[row] ?? headerLine, delimiter, column);
    },
  };
}

function wrongCount(path: string, fields: Fields, expected: number, delimiter: string): MaasError {
  const found = fields.count;
  return new MaasError(
    'MAAS_DATA_SYNTAX',
    `the row has ${found} ${found === 1 ? 'field' : 'fields'}, the header has ${expected}`,
    { place: locateField(path, fields.raw(), fields.line, delimiter, Math.min(found, expected + 1) - 1) },
  );
}
