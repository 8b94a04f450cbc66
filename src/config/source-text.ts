import type { Place } from '../errors.js';

/** Lines wider than this are shown in part. */
const frameWidth = 100;

/** A text that config came from, able to show any part of itself: the config file, or one `--set` argument. */
export class SourceText {
  readonly #lineStarts: number[] = [0];

  constructor(
    readonly name: string,
    readonly text: string,
    /** False for a command-line argument, which has no line numbers. */
    readonly numbered = true,
  ) {
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1))
      this.#lineStarts.push(at + 1);
  }

  /** The place of the characters from `start` up to `end`, counted from 0, with the line before and after. */
  place(start: number, end: number): Place {
    const index = this.#lineStarts.findLastIndex((lineStart) => lineStart <= start);
    const column = start - this.#lineStarts[index]!;
    const width = Math.max(1, Math.min(end - start, this.#line(index).length - column));
    const frame = this.#frame(index, column, width);
    return this.numbered
      ? { file: this.name, line: index + 1, column: column + 1, frame }
      : { file: this.name, frame };
  }

  #line(index: number): string {
    return this.text.slice(this.#lineStarts[index], this.#lineStarts[index + 1]).replace(/\r?\n$/, '');
  }

  #frame(index: number, column: number, width: number): string {
    // The empty line behind the last newline is no line to a reader.
    const next = Math.min(index + 1, this.#lineStarts.length - 1);
    const last = this.#lineStarts[next]! < this.text.length ? next : index;
    const digits = this.numbered ? String(last + 1).length : 0;
    const from = Math.max(0, column - frameWidth / 2);
    const gutter = (number: number | ''): string => (this.numbered ? String(number) : '').padStart(digits);
    // Tabs and control characters would shift the marker, or reach the terminal.
    const show = (line: number): string =>
      this.#line(line)
        .slice(from, from + frameWidth)
        .replaceAll('\t', '→')
        .replace(/\p{Cc}/gu, '\uFFFD');
    const rows = [];
    for (let line = Math.max(0, index - 1); line <= last; line++) {
      rows.push(` ${gutter(line + 1)} | ${show(line)}`);
      if (line === index) {
        const marker = '^'.repeat(Math.min(width, frameWidth - (column - from)));
        rows.push(` ${gutter('')} | ${' '.repeat(column - from)}${marker}`);
      }
    }
    return rows.map((row) => row.trimEnd()).join('\n');
  }
}
