import { createHash, type Hash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { CsvError, parse } from 'csv-parse';
import { MaasError } from '../../errors.js';
import { checkHeader } from './check-header.js';
import { checkUtf8 } from './check-utf8.js';
import { countBreaks, locateField, skipBlankLines } from './locate-field.js';
import { streamSource } from './open-source.js';
import type { RawTable, ReadOptions } from './raw-table.js';

interface CsvOptions extends ReadOptions {
  readonly delimiter: string;
}

interface RawRecord {
  readonly raw: string;
  readonly record: string[];
}

/**
 * Reads delimited text with a header line (RFC 4180, and what people write: BOM, CR LF or LF, blank lines, blanks around
 * fields).
 * @throws MaasError MAAS_DATA_EMPTY, MAAS_DATA_COLUMN for the header, MAAS_DATA_SYNTAX for rows that do not fit it.
 */
export async function readCsv(path: string, { delimiter, signal }: CsvOptions): Promise<RawTable> {
  const hash = createHash('sha256');
  const lines: number[] = [];
  let header: string[] | undefined;
  let headerLine = 1;
  let columns: string[][] = [];
  // csv-parse counts a CR LF inside quotes twice, so lines are counted here, from the raw text.
  let line = 1;

  const add = ({ raw, record }: RawRecord): void => {
    const start = line + countBreaks(raw.slice(0, skipBlankLines(raw)));
    line += countBreaks(raw);
    if (header === undefined) {
      checkHeader(record, { path, raw, line: start, delimiter });
      header = record;
      headerLine = start;
      columns = header.map(() => []);
      return;
    }
    if (record.length !== header.length) {
      const [found, expected] = [record.length, header.length];
      throw new MaasError(
        'MAAS_DATA_SYNTAX',
        `the row has ${found} ${found === 1 ? 'field' : 'fields'}, the header has ${expected}`,
        { place: locateField(path, raw, start, delimiter, Math.min(found, expected + 1) - 1) },
      );
    }
    record.forEach((cell, index) => columns[index]!.push(cell));
    lines.push(start);
  };

  try {
    await scan(path, delimiter, add, hash, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof CsvError ? describeSyntaxError(error, path, line) : error;
  }
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
      const wanted = row + 1;
      let count = 0;
      let found = '';
      const find = ({ raw }: RawRecord): void => {
        if (count++ === wanted) found = raw;
      };
      await scan(path, delimiter, find, createHash('sha256'), signal);
      return locateField(path, found, lines[row] ?? headerLine, delimiter, column);
    },
  };
}

/** Parses the file record by record, holding one chunk of it at a time. */
async function scan(
  path: string,
  delimiter: string,
  onRecord: (record: RawRecord) => void,
  hash: Hash,
  signal: AbortSignal | undefined,
): Promise<void> {
  const parser = parse({
    bom: true,
    delimiter,
    raw: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
    // Taken here, nothing is queued: when a later record is bad, those before it have all been counted.
    on_record: (record: unknown) => {
      onRecord(record as RawRecord);
      return null;
    },
  });
  parser.resume();
  await pipeline(
    streamSource(path, hash),
    (chunks: AsyncIterable<Buffer>) => checkUtf8(path, chunks),
    parser,
    { signal },
  );
}

/** `line` is where the record that could not be read begins, or the blank lines before it. */
function describeSyntaxError(error: CsvError, path: string, line: number): MaasError {
  const options = { place: { file: path, line }, cause: error };
  switch (error.code) {
    case 'CSV_QUOTE_NOT_CLOSED':
      return new MaasError('MAAS_DATA_SYNTAX', 'a quote is opened in this row and never closed', options);
    case 'INVALID_OPENING_QUOTE':
      return new MaasError('MAAS_DATA_SYNTAX', 'a quote stands in the middle of a field', {
        ...options,
        hint: 'Put the whole field in quotes and write each quote inside it twice.',
      });
    case 'CSV_INVALID_CLOSING_QUOTE':
      return new MaasError(
        'MAAS_DATA_SYNTAX',
        'there is text between a closing quote and the next delimiter',
        {
          ...options,
          hint: 'Write a quote inside a quoted field twice, and check data.delimiter.',
        },
      );
    default:
      return new MaasError('MAAS_DATA_SYNTAX', `the row cannot be read: ${error.message}`, options);
  }
}
