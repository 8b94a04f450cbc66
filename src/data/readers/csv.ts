import { MaasError } from '../../errors.js';
import { checkHeader } from './check-header.js';
import type { Fields } from './fields.js';
import { locateField } from './locate-field.js';
import { streamSource } from './open-source.js';
import type { Reader } from './reader.js';
import { scanCsv } from './scan-csv.js';

/** Delimited text with a header line. */
export function openCsv(path: string, delimiter: string): Reader {
  return {
    path,
    async scan(visitor, options = {}) {
      let columns = 0;
      await scanCsv(path, streamSource(path, options), delimiter, (fields) => {
        if (columns === 0) {
          const names = fields.texts();
          checkHeader(names, { path, raw: fields.raw(), line: fields.line, delimiter });
          columns = names.length;
          visitor.header(names);
          return undefined;
        }
        if (fields.count !== columns) throw wrongCount(path, fields, columns, delimiter);
        return visitor.row(fields);
      });
      if (columns === 0)
        throw new MaasError('MAAS_DATA_EMPTY', 'the file has blank lines only', { place: { file: path } });
    },
    async locate(row, column) {
      let [count, line] = [-1, 1];
      let found = '';
      await scanCsv(path, streamSource(path), delimiter, (fields) => {
        if (count++ !== row) return false;
        found = fields.raw();
        line = fields.line;
        return true;
      });
      return locateField(path, found, line, delimiter, column);
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
