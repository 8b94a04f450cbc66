import { stripVTControlCharacters } from 'node:util';
import { createStyle } from './style.js';

export interface TableOptions {
  readonly header?: readonly string[];
  /** Columns of figures, by index; they line up on the right. */
  readonly right?: readonly number[];
  readonly color?: boolean;
}

/** Columns that line up, two spaces apart, no borders: easy to read, and to cut with `awk`. */
export function formatTable(rows: readonly (readonly string[])[], options: TableOptions = {}): string {
  const all = options.header ? [options.header, ...rows] : rows;
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => widthOf(row[column] ?? ''))),
  );
  const lines = all.map((row) =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? '';
        const padding = ' '.repeat(width - widthOf(cell));
        return options.right?.includes(column) ? padding + cell : cell + padding;
      })
      .join('  ')
      .trimEnd(),
  );
  if (options.header) lines[0] = createStyle(options.color ?? false).bold(lines[0]!);
  return lines.join('\n');
}

function widthOf(cell: string): number {
  return Array.from(new Intl.Segmenter().segment(stripVTControlCharacters(cell))).length;
}
