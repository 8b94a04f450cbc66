import { isUtf8 } from 'node:buffer';
import { MaasError, type Place } from '../../errors.js';
import { RowFields } from './fields.js';
import { frameOf } from './locate-field.js';
import { notUtf8 } from './not-utf8.js';
import { streamSource } from './open-source.js';
import type { Reader, ScanOptions } from './reader.js';

/** Objects at the beginning whose keys are the columns. */
const headLines = 1000;
/** Bytes of a line at most. */
const longest = 2 ** 26;
const [lf, cr] = [0x0a, 0x0d];

type Row = Readonly<Record<string, unknown>>;

/**
 * One JSON object a line. The keys of the first thousand are the columns; a key that is missing in a line has no value
 * there, and one that comes up later is an error. Lists and objects within are kept as the JSON that they are.
 */
export function openJsonLines(path: string): Reader {
  let known: readonly string[] | undefined;
  const findColumns = async (): Promise<readonly string[]> => {
    const names = new Set<string>();
    let count = 0;
    await scanLines(path, {}, (text, line) => {
      for (const name of Object.keys(parse(path, text, line))) names.add(name);
      return ++count === headLines;
    });
    if (names.has('')) {
      throw new MaasError('MAAS_DATA_COLUMN', 'a key is empty', {
        place: { file: path },
        hint: 'Name every field.',
      });
    }
    if (count === 0)
      throw new MaasError('MAAS_DATA_EMPTY', 'the file has blank lines only', { place: { file: path } });
    if (names.size === 0)
      throw new MaasError('MAAS_DATA_COLUMN', 'the objects have no keys', { place: { file: path } });
    return [...names];
  };
  return {
    path,
    async scan(visitor, options) {
      const names = (known ??= await findColumns());
      const columns = new Map(names.map((name, index) => [name, index]));
      visitor.header(names);
      const fields = new RowFields(names.length);
      await scanLines(path, options ?? {}, (text, line) => {
        const row = parse(path, text, line);
        const cells = new Array<string>(names.length).fill('');
        for (const [name, value] of Object.entries(row)) {
          const column = columns.get(name);
          if (column === undefined) throw unknownKey(path, text, line, name);
          cells[column] = toText(value);
        }
        return visitor.row(fields.fill(cells, line));
      });
    },
    async locate(row, column) {
      const names = (known ??= await findColumns());
      let count = 0;
      let place: Place = { file: path };
      await scanLines(path, {}, (text, line) => {
        if (count++ !== Math.max(0, row)) return false;
        place = placeOf(path, text, line, names[column] ?? '');
        return true;
      });
      return place;
    },
  };
}

function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  // What JSON writes of numbers and booleans is what a cell would hold.
  return value === null || value === undefined ? '' : JSON.stringify(value);
}

function parse(path: string, text: string, line: number): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const { message } = error as SyntaxError;
    const at = Number(/position (\d+)/.exec(message)?.[1] ?? 0);
    throw new MaasError('MAAS_DATA_SYNTAX', `the line is not JSON: ${message}`, {
      place: placeAt(path, text, line, at, 1),
      hint: 'Each line holds one whole object, such as {"size": 1.5, "colour": "red"}.',
      cause: error,
    });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  throw new MaasError('MAAS_DATA_SYNTAX', 'the line is not an object', {
    place: placeAt(path, text, line, 0, 1),
    hint: 'Each line holds one object, such as {"size": 1.5, "colour": "red"}.',
  });
}

function unknownKey(path: string, text: string, line: number, name: string): MaasError {
  return new MaasError(
    'MAAS_DATA_COLUMN',
    `the key "${name}" is in none of the first ${headLines} lines, whose keys are the columns`,
    {
      place: placeOf(path, text, line, name),
      hint: 'Give the first line all keys, with null where there is no value.',
    },
  );
}

function placeOf(path: string, text: string, line: number, name: string): Place {
  const key = JSON.stringify(name);
  const at = Math.max(0, text.indexOf(key));
  return placeAt(path, text, line, at, key.length);
}

function placeAt(path: string, text: string, line: number, at: number, length: number): Place {
  return { file: path, line, column: at + 1, frame: frameOf(text, line, at, length) };
}

/** Calls with each line that is not blank; true ends it. */
async function scanLines(
  path: string,
  options: ScanOptions,
  onLine: (text: string, line: number) => boolean | undefined,
): Promise<void> {
  let rest: Buffer[] = [];
  let waiting = 0;
  let line = 0;
  const take = (bytes: Buffer): boolean | undefined => {
    line += 1;
    const start = line === 1 && bytes.toString('hex', 0, 3) === 'efbbbf' ? 3 : 0;
    if (!isUtf8(bytes)) throw notUtf8(path, line);
    const end = bytes[bytes.length - 1] === cr ? bytes.length - 1 : bytes.length;
    const text = bytes.toString('utf8', start, end);
    return text.trim() === '' ? false : onLine(text, line);
  };
  for await (const chunk of streamSource(path, options)) {
    let start = 0;
    for (let at = chunk.indexOf(lf); at !== -1; at = chunk.indexOf(lf, start)) {
      const part = chunk.subarray(start, at);
      start = at + 1;
      if (take(rest.length === 0 ? part : Buffer.concat([...rest, part])) === true) return;
      rest = [];
      waiting = 0;
    }
    rest.push(chunk.subarray(start));
    waiting += chunk.length - start;
    if (waiting > longest) {
      throw new MaasError('MAAS_DATA_SYNTAX', `the line is longer than ${longest / 2 ** 20} MB`, {
        place: { file: path, line: line + 1 },
        hint: 'Each line holds one object; a file that is one list is no JSON Lines.',
      });
    }
  }
  if (waiting > 0) take(Buffer.concat(rest));
}
