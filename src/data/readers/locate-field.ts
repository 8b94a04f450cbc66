import type { Place } from '../../errors.js';

const lineBreak = /\r\n|\r|\n/g;
const maxFrameWidth = 100;

/** Lines that a text ends; CR LF, CR and LF end one each. */
export function countBreaks(text: string): number {
  return text.match(lineBreak)?.length ?? 0;
}

/** Offset of the first character after the blank lines at the start of a raw record. */
export function skipBlankLines(raw: string): number {
  return /^(?:[^\S\r\n]*[\r\n]+)*/.exec(raw)?.[0].length ?? 0;
}

/** The place of a field of a record, with the line it stands on and a marker under it. `line` is the record's first. */
export function locateField(
  path: string,
  raw: string,
  line: number,
  delimiter: string,
  column: number,
): Place {
  const record = raw.slice(skipBlankLines(raw)).replace(/[\r\n]+$/, '');
  const { start, end } = spanOf(record, delimiter, column);
  const before = record.slice(0, start);
  const lineStart = Math.max(before.lastIndexOf('\n'), before.lastIndexOf('\r')) + 1;
  const text = record.slice(lineStart).split(/[\r\n]/, 1)[0]!;
  return {
    file: path,
    line: line + countBreaks(before),
    column: start - lineStart + 1,
    frame: frameOf(text, line + countBreaks(before), start - lineStart, end - start),
  };
}

/** Offsets of a field without the blanks around it; those of the last field when there are fewer. */
function spanOf(record: string, delimiter: string, column: number): { start: number; end: number } {
  let [start, index, quoted, end] = [0, 0, false, 0];
  for (; end < record.length; end++) {
    if (record[end] === '"') quoted = !quoted;
    if (quoted || record[end] !== delimiter) continue;
    if (index === column) break;
    index += 1;
    start = end + 1;
  }
  const field = record.slice(start, end);
  const blank = field.length - field.trimStart().length;
  return {
    start: start + (blank === field.length ? 0 : blank),
    end: Math.max(start, start + field.trimEnd().length),
  };
}

/** The line with a marker under some of its characters; a part of it when it is long. */
export function frameOf(text: string, line: number, start: number, length: number): string {
  const from = Math.max(0, start - maxFrameWidth / 2);
  const shown = text.slice(from, from + maxFrameWidth).replaceAll('\t', ' ');
  const marker = '^'.repeat(Math.max(1, Math.min(length, shown.length - (start - from))));
  const gutter = ' '.repeat(String(line).length);
  return `${gutter} |\n${line} | ${shown}\n${gutter} | ${' '.repeat(start - from)}${marker}`;
}
