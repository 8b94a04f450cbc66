/**
 * One record of a source as bytes: field i is `bytes` from `starts[i]` to `ends[i]`, UTF-8. It is overwritten by the next
 * record.
 */
export class Fields {
  bytes: Buffer = Buffer.alloc(0);
  count = 0;
  starts = new Uint32Array(64);
  ends = new Uint32Array(64);
  /** Line that the record starts on, from 1. */
  line = 1;
  /** Where the record begins and ends in `bytes`. */
  from = 0;
  to = 0;
  /** Whether all bytes are ASCII: then the record is decoded at once. */
  ascii = true;
  /** Fields with a quote written twice in them. */
  readonly escaped = new Set<number>();
  #text: string | undefined;

  /** Begins the record at `from`. */
  begin(from: number, line: number): void {
    this.from = from;
    this.line = line;
    this.count = 0;
    this.ascii = true;
    this.#text = undefined;
    if (this.escaped.size > 0) this.escaped.clear();
  }

  add(start: number, end: number): void {
    if (this.count === this.starts.length) {
      this.starts = grow(this.starts);
      this.ends = grow(this.ends);
    }
    this.starts[this.count] = start;
    this.ends[this.count++] = end;
  }

  /** The field as text. */
  text(index: number): string {
    const [start, end] = [this.starts[index]!, this.ends[index]!];
    if (start === end) return '';
    if (!this.ascii || this.escaped.has(index)) {
      const text = this.bytes.toString('utf8', start, end);
      return this.escaped.has(index) ? text.replaceAll('""', '"') : text;
    }
    this.#text ??= this.bytes.toString('latin1', this.from, this.to);
    return this.#text.slice(start - this.from, end - this.from);
  }

  /** All fields as text. */
  texts(): string[] {
    return Array.from({ length: this.count }, (_, index) => this.text(index));
  }

  /** The record as it is written. */
  raw(): string {
    return this.bytes.toString('utf8', this.from, this.to);
  }
}

function grow(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

/** Cells as one record of bytes. */
export class RowFields {
  readonly #fields = new Fields();

  constructor(columns: number) {
    this.#fields.bytes = Buffer.allocUnsafe(64 * columns);
  }

  fill(cells: readonly string[], line: number): Fields {
    const fields = this.#fields;
    fields.begin(0, line);
    let length = 0;
    for (const cell of cells) length += cell.length;
    // A UTF-16 unit takes three bytes of UTF-8 at most.
    if (3 * length > fields.bytes.length) fields.bytes = Buffer.allocUnsafe(6 * length);
    let at = 0;
    for (const cell of cells) {
      const end = at + fields.bytes.write(cell, at);
      fields.add(at, end);
      at = end;
    }
    fields.to = at;
    fields.ascii = at === length;
    return fields;
  }
}
