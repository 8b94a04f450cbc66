import { isUtf8 } from 'node:buffer';
import { MaasError } from '../../errors.js';
import { Fields } from './fields.js';
import { notUtf8 } from './not-utf8.js';

/** Bytes of a record at most. */
const longest = 2 ** 26;

/** Is called with each record, the header too. True ends the scan. */
export type OnRecord = (fields: Fields) => boolean | undefined;

const [lf, cr, quote, space] = [0x0a, 0x0d, 0x22, 0x20];

/**
 * Parts delimited text into records (RFC 4180, and what people write: BOM, CR LF, LF or CR, blank lines, blanks around
 * fields). Works on bytes, and holds one chunk and one record at a time.
 * @throws MaasError MAAS_DATA_SYNTAX for bytes that are not UTF-8 and quotes out of place.
 */
export async function scanCsv(
  path: string,
  chunks: AsyncIterable<Buffer>,
  delimiter: string,
  onRecord: OnRecord,
): Promise<void> {
  const scanner = new Scanner(path, Buffer.from(delimiter), onRecord);
  for await (const chunk of chunks) if (scanner.push(chunk)) return;
  scanner.end();
}

class Scanner {
  readonly #fields = new Fields();
  /** What has come and is not yet parted; a record that begins in it may end in the next chunk. */
  #rest: Buffer = Buffer.alloc(0);
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #line = 1;
  #first = true;
  /** Bytes of the rest that are known to be UTF-8. */
  #checked = 0;

  constructor(
    private readonly path: string,
    private readonly delimiter: Buffer,
    private readonly onRecord: OnRecord,
  ) {}

  /** True when nobody wants more. */
  push(chunk: Buffer): boolean {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    // A record that spans many chunks is looked at again only when there is twice as much of it.
    if (this.#waitingBytes < this.#rest.length) return false;
    let bytes = this.#gather();
    if (this.#first) {
      if (bytes.length < 3) {
        this.#rest = bytes;
        return false;
      }
      bytes = this.#skipMark(bytes);
    }
    this.#check(bytes, false);
    if (this.#part(bytes, false)) return true;
    if (this.#rest.length <= longest) return false;
    throw this.#bad(
      `the row is longer than ${longest / 2 ** 20} MB`,
      'Is a quote opened there and never closed?',
    );
  }

  end(): void {
    const bytes = this.#gather();
    const text = this.#first ? this.#skipMark(bytes) : bytes;
    this.#check(text, true);
    this.#part(text, true);
  }

  #gather(): Buffer {
    const parts = this.#rest.length === 0 ? this.#waiting : [this.#rest, ...this.#waiting];
    this.#waiting = [];
    this.#waitingBytes = 0;
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  #skipMark(bytes: Buffer): Buffer {
    this.#first = false;
    const mark = bytes.toString('hex', 0, 2);
    if (mark === 'fffe' || mark === 'feff') throw notUtf8(this.path, undefined, 'UTF-16');
    return bytes.toString('hex', 0, 3) === 'efbbbf' ? bytes.subarray(3) : bytes;
  }

  /** Read in another encoding, names and categories would be wrong without anybody noticing. */
  #check(bytes: Buffer, last: boolean): void {
    let end = bytes.length;
    // A character may go on in the next chunk; one of a single byte is complete.
    while (!last && end > this.#checked && bytes[end - 1]! >= 0x80) end -= 1;
    const part = bytes.subarray(this.#checked, end);
    this.#checked = end;
    if (isUtf8(part)) return;
    let line = this.#line;
    for (let start = 0; start < end; line += 1) {
      const at = bytes.indexOf(lf, start);
      const stop = at === -1 ? end : at + 1;
      if (!isUtf8(bytes.subarray(start, stop))) break;
      start = stop;
    }
    throw notUtf8(this.path, line);
  }

  /** Hands on the whole records of `bytes` and keeps what is behind them. `last`: no more is to come. */
  #part(bytes: Buffer, last: boolean): boolean {
    const fields = this.#fields;
    fields.bytes = bytes;
    const { length } = bytes;
    let at = 0;
    for (;;) {
      // Blank lines before a record.
      let line = this.#line;
      let lineStart = at;
      for (; at < length && bytes[at]! <= space && !this.#isDelimiter(bytes, at); at++) {
        const byte = bytes[at]!;
        if (byte !== lf && byte !== cr) continue;
        if (byte === cr && bytes[at + 1] === lf) at += 1;
        else if (byte === cr && at + 1 === length && !last) break;
        line += 1;
        lineStart = at + 1;
      }
      if (at >= length || (bytes[at] === cr && at + 1 === length && !last)) {
        this.#line = line;
        return this.#keep(bytes, lineStart);
      }
      this.#line = line;
      fields.begin(lineStart, line);
      const end = this.#record(bytes, at, last);
      if (end === -1) return this.#keep(bytes, lineStart);
      at = end;
      if (this.onRecord(fields) === true) return true;
    }
  }

  #keep(bytes: Buffer, from: number): boolean {
    this.#rest = bytes.subarray(from);
    this.#checked = Math.max(0, this.#checked - from);
    return false;
  }

  #isDelimiter(bytes: Buffer, at: number): boolean {
    const { delimiter } = this;
    for (let index = 0; index < delimiter.length; index++) {
      if (bytes[at + index] !== delimiter[index]) return false;
    }
    return true;
  }

  /** Finds the fields of the record that begins at `at`. Returns where the next begins, or −1 when it is not whole. */
  #record(bytes: Buffer, at: number, last: boolean): number {
    const fields = this.#fields;
    const { length } = bytes;
    const mark = this.delimiter[0]!;
    const markLength = this.delimiter.length;
    let seen = 0;
    let breaks = 0;
    for (;;) {
      // Blanks before a field.
      while (at < length && bytes[at]! <= space && bytes[at] !== mark && bytes[at] !== lf && bytes[at] !== cr)
        at += 1;
      let start = at;
      let end: number;
      if (bytes[at] === quote) {
        start = at + 1;
        let isEscaped = false;
        for (at = start; ; at++) {
          if (at >= length) {
            if (last) throw this.#bad('a quote is opened in this row and never closed');
            return -1;
          }
          const byte = bytes[at]!;
          seen |= byte;
          if (byte === lf || (byte === cr && bytes[at + 1] !== lf)) breaks += 1;
          if (byte !== quote) continue;
          if (at + 1 >= length && !last) return -1;
          if (bytes[at + 1] !== quote) break;
          isEscaped = true;
          at += 1;
        }
        if (isEscaped) fields.escaped.add(fields.count);
        end = at++;
        while (
          at < length &&
          bytes[at]! <= space &&
          bytes[at] !== mark &&
          bytes[at] !== lf &&
          bytes[at] !== cr
        )
          at += 1;
        if (at < length && bytes[at] !== lf && bytes[at] !== cr && !this.#isDelimiter(bytes, at)) {
          if (!last && at + markLength > length) return -1;
          throw this.#bad(
            'there is text between a closing quote and the next delimiter',
            'Write a quote inside a quoted field twice, and check data.delimiter.',
          );
        }
      } else {
        let byte = 0;
        for (; at < length; at++) {
          byte = bytes[at]!;
          if (byte === lf || byte === cr || byte === quote) break;
          if (byte === mark && (markLength === 1 || this.#isDelimiter(bytes, at))) break;
          seen |= byte;
        }
        if (at < length && byte === quote) {
          throw this.#bad(
            'a quote stands in the middle of a field',
            'Put the whole field in quotes and write each quote inside it twice.',
          );
        }
        end = at;
        while (end > start && bytes[end - 1]! <= space) end -= 1;
      }
      fields.add(start, end);
      if (at >= length) {
        if (!last) return -1;
        break;
      }
      if (bytes[at] === lf || bytes[at] === cr) break;
      at += markLength;
    }
    fields.to = at;
    fields.ascii = seen < 0x80;
    if (at < length) {
      if (bytes[at] === cr) {
        if (at + 1 >= length && !last) return -1;
        if (bytes[at + 1] === lf) at += 1;
      }
      at += 1;
      breaks += 1;
    }
    this.#line += breaks;
    return at;
  }

  #bad(message: string, hint?: string): MaasError {
    return new MaasError('MAAS_DATA_SYNTAX', message, {
      place: { file: this.path, line: this.#line },
      hint,
    });
  }
}
