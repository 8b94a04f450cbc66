import { tmpdir } from 'node:os';
import { extname } from 'node:path';
import type * as DuckDB from '@duckdb/node-api';
import { MaasError } from '../../errors.js';
import { RowFields } from './fields.js';
import { formatOf } from './formats.js';
import { hashFile } from './open-source.js';
import type { Reader } from './reader.js';

/** Of the database, beside ours. */
const memory = '512MB';

interface QueryOptions {
  /** Query over the table `source`; without one, all of it. */
  readonly sql?: string;
  readonly delimiter?: string;
}

/**
 * Parquet, and SQL over any source, by DuckDB. A query sees the table `source` and no other file, so that the digest of
 * the source tells all that it depends on. One thread: rows come in the same order each time.
 */
export function openDuckDb(path: string, { sql, delimiter }: QueryOptions): Reader {
  const query = sql === undefined ? 'FROM source' : sql.replace(/[\s;]+$/, '');
  return {
    path,
    async scan(visitor, { hash, signal } = {}) {
      signal?.throwIfAborted();
      if (hash) await hashFile(path, { hash, signal });
      await connect(path, delimiter, async (connection) => {
        const columns = await describe(connection, query, path);
        visitor.header(columns.map(({ name }) => name));
        const cells = columns.map(({ name, type }) => asText(quote(name, '"'), type)).join();
        const result = await connection.stream(`SELECT ${cells} FROM (${query}\n)`);
        const fields = new RowFields(columns.length);
        let line = 0;
        for (;;) {
          signal?.throwIfAborted();
          const chunk = await result.fetchChunk();
          if (!chunk || chunk.rowCount === 0) return;
          const values = chunk.getColumns() as (string | null)[][];
          for (let row = 0; row < chunk.rowCount; row++) {
            const record = values.map((column) => column[row] ?? '');
            if (visitor.row(fields.fill(record, ++line)) === true) return;
          }
        }
      });
    },
    // Lines of such a source are the rows of the result.
    locate: (row) => Promise.resolve({ file: path, ...(row >= 0 && { line: row + 1 }) }),
  };
}

async function connect(
  path: string,
  delimiter: string | undefined,
  work: (connection: DuckDB.DuckDBConnection) => Promise<void>,
): Promise<void> {
  const { DuckDBInstance } = await load(path);
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    memory_limit: memory,
    temp_directory: tmpdir(),
  });
  try {
    const connection = await instance.connect();
    try {
      await connection.run(`CREATE VIEW source AS FROM ${tableOf(path, delimiter)}`);
      await connection.run(`SET allowed_paths = [${quote(path, "'")}]`);
      await connection.run('SET enable_external_access = false');
      await connection.run('SET lock_configuration = true');
      await work(connection);
    } finally {
      connection.closeSync();
    }
  } catch (error) {
    throw explain(error, path);
  } finally {
    instance.closeSync();
  }
}

async function load(path: string): Promise<typeof DuckDB> {
  try {
    return await import('@duckdb/node-api');
  } catch (error) {
    throw new MaasError(
      'MAAS_ENGINE_MISSING',
      `${extname(path)} files and data.sql are read by DuckDB, which is not installed`,
      {
        place: { file: path },
        hint: 'Install it with `npm install @duckdb/node-api` (70 MB).',
        cause: error,
      },
    );
  }
}

function tableOf(path: string, delimiter: string | undefined): string {
  const file = quote(path, "'");
  const format = formatOf(path);
  if (format?.kind === 'parquet') return `read_parquet(${file})`;
  if (format?.kind === 'lines') return `read_json(${file}, format = 'newline_delimited')`;
  return `read_csv(${file}, header = true, delim = ${quote(delimiter ?? format?.delimiter ?? ',', "'")})`;
}

async function describe(
  connection: DuckDB.DuckDBConnection,
  query: string,
  path: string,
): Promise<{ readonly name: string; readonly type: string }[]> {
  // In brackets it is one query, and nothing but a query.
  const described = await connection.runAndReadAll(`DESCRIBE (${query}\n)`);
  const columns = described.getRows().map(([name, type]) => ({ name: String(name), type: String(type) }));
  const names = columns.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return columns;
  throw new MaasError('MAAS_DATA_COLUMN', `two columns are named "${twice}"`, {
    place: { file: path },
    hint: 'Give each a name of its own in data.sql, with AS.',
  });
}

/** A cell as delimited text would hold it: points in time as ISO 8601 writes them, lists as JSON. */
function asText(column: string, type: string): string {
  if (type === 'TIMESTAMP WITH TIME ZONE') return asText(`(${column} AT TIME ZONE 'UTC')`, 'TIMESTAMP');
  if (type.startsWith('TIMESTAMP')) return `strftime(${column}, '%Y-%m-%dT%H:%M:%S.%gZ')`;
  if (/\[|^STRUCT|^MAP/.test(type)) return `to_json(${column})::VARCHAR`;
  return `${column}::VARCHAR`;
}

function quote(text: string, mark: '"' | "'"): string {
  return `${mark}${text.replaceAll(mark, mark + mark)}${mark}`;
}

function explain(error: unknown, path: string): unknown {
  const message = error instanceof Error ? error.message : '';
  const kind =
    /^(Parser|Binder|Catalog|Conversion|Permission|Invalid Input|IO|Out of Memory|Not implemented|Out of Range) Error: /.exec(
      message,
    )?.[1];
  if (error instanceof MaasError || kind === undefined) return error;
  const [first, ...rest] = message.slice(message.indexOf(':') + 2).split('\n\n');
  const isQuery = kind === 'Parser' || kind === 'Binder' || kind === 'Catalog';
  return new MaasError(
    'MAAS_DATA_SYNTAX',
    `${isQuery ? 'data.sql cannot be run' : 'DuckDB cannot read the data'}: ${first}`,
    {
      place: { file: path, ...(rest.length > 0 && { frame: rest.join('\n').trimEnd() }) },
      hint: isQuery
        ? 'The file is the table `source`, and the only one: SELECT size, colour FROM source WHERE size > 0.'
        : 'Check that the file is whole, for instance by writing it again.',
      cause: error,
    },
  );
}
