import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scanCsv } from '../../src/data/readers/scan-csv.js';

interface Row {
  readonly line: number;
  readonly cells: string[];
}

async function scan(bytes: Buffer, chunk = 1 << 16, delimiter = ','): Promise<Row[]> {
  const rows: Row[] = [];
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunk)
      yield await Promise.resolve(bytes.subarray(at, at + chunk));
  };
  await scanCsv('data.csv', chunks(), delimiter, (fields) => {
    rows.push({ line: fields.line, cells: fields.texts() });
    return undefined;
  });
  return rows;
}

const cell = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', '7', '.', 'ü', '🙂', '"', ',', ';', '§', '\r', '\n', ' ', '\t'),
    maxLength: 6,
  }),
  fc.double().map(String),
);

describe('scanCsv', () => {
  it('gives back what was written, whatever the chunks, the ends of lines and the delimiter', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(cell, { minLength: 2, maxLength: 5 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom('\n', '\r\n', '\r'),
        fc.constantFrom(',', ';', '\t', '§', ' '),
        fc.constantFrom('', '\uFEFF'),
        fc.nat(3),
        fc.integer({ min: 1, max: 9 }),
        async (rows, end, delimiter, mark, blank, chunk) => {
          let line = 1;
          let text = mark;
          const expected = rows.map((cells): Row => {
            const written = cells.map((value): string =>
              // A blank around a field is no part of it, unless in quotes.
              new RegExp(`["\\s${delimiter}]`).test(value) ? `"${value.replaceAll('"', '""')}"` : value,
            );
            // A record of empty fields only would be a blank line where blanks divide fields.
            if (cells.join('') === '') [written[0], cells[0]] = ['x', 'x'];
            const record = written.join(delimiter) + end;
            const before =
              delimiter === ' ' || delimiter === '\t' ? end.repeat(blank) : ` ${end}`.repeat(blank);
            line += blank;
            const start = line;
            line += record.match(/\r\n|\r|\n/g)!.length;
            text += before + record;
            return { line: start, cells };
          });
          const bytes = Buffer.from(text);
          expect(await scan(bytes, chunk, delimiter)).toEqual(expected);
          const cut = Buffer.from(text.slice(0, -end.length));
          expect(await scan(cut, chunk, delimiter)).toEqual(expected);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('reads a record that is longer than many chunks in time that grows with its length', async () => {
    const long = 'x'.repeat(3_000_000);
    const rows = await scan(Buffer.from(`a,b\n"${long}",1\n${long},2\n`), 1024);
    expect(rows.map(({ cells }) => cells.map(({ length }) => length))).toEqual([
      [1, 1],
      [long.length, 1],
      [long.length, 1],
    ]);
  });

  it('gives up a quote that is never closed before it holds all of a large file', async () => {
    const endless = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('a,b\n1,"');
      for (;;) yield await Promise.resolve(Buffer.alloc(1 << 22, 'x'));
    };
    const scanned = scanCsv('data.csv', endless(), ',', () => undefined);
    await expect(scanned).rejects.toMatchObject({
      message: 'the row is longer than 64 MB',
      place: { file: 'data.csv', line: 2 },
    });
  });

  it('finds a byte that is no UTF-8 in any chunk, and the line it is in', async () => {
    const bytes = Buffer.concat([
      Buffer.from('a,b\n1,ü\n"\n2",'),
      Buffer.from([0xfc]),
      Buffer.from('\n3,4\n'),
    ]);
    for (let chunk = 1; chunk <= bytes.length; chunk++) {
      await expect(scan(bytes, chunk)).rejects.toMatchObject({
        message: 'the file is not UTF-8 text but some other encoding',
        place: { line: 4 },
      });
    }
  });

  it('takes ten thousand columns', async () => {
    const cells = Array.from({ length: 10_000 }, (_, index) => `${index}`);
    const rows = await scan(Buffer.from(`${cells.join()}\n${cells.join()}`), 4096);
    expect(rows.map((row) => row.cells)).toEqual([cells, cells]);
  });
});
