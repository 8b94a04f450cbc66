import { endianness } from 'node:os';
import { parseJson } from './parse.js';
import { lazyScanner, type NumberScanner } from './scan-many.js';

/**
 * The lists of numbers under `"data"` keys of a JSON text, read straight from its bytes into typed arrays: `JSON.parse`
 * makes a list of doubles first, which takes longer than many a model.
 */
export interface Scanned {
  /** The text with a number in place of each list: its place in `lists`. */
  readonly text: string;
  readonly lists: readonly ScannedList[];
}

export interface ScannedList {
  readonly values: Float32Array | Float64Array;
  /** False when there are numbers that the precision of the values does not hold. */
  readonly finite: boolean;
  /** The same as `parseJson` gives it. */
  readonly parse: () => unknown;
}

const [quote, backslash, comma, open, close] = [0x22, 0x5c, 0x2c, 0x5b, 0x5d];
const [minus, plus, dot, zero, nine] = [0x2d, 0x2b, 0x2e, 0x30, 0x39];

/** Where a scan is in its bytes. */
interface Cursor {
  readonly bytes: Buffer;
  at: number;
  /** A double, and its bits. */
  readonly double: Float64Array;
  readonly words: Uint32Array;
}

/**
 * Undefined when there is anything but flat lists of numbers under `"data"`, more of them than `most`, or no JSON: what knows all
 * of JSON, and the right words for what is wrong, reads it then. Bytes must be UTF-8. `single` rounds to single precision, exactly
 * as `Math.fround(Number(text))` does; else values are doubles, integers of at most 2⁵³ among them.
 */
export function scanTensors(bytes: Buffer, single: boolean, most = Infinity): Scanned | undefined {
  const many = single && bytes.length > fewest ? scanner() : undefined;
  try {
    return scanLists(bytes, single, most, many);
  } finally {
    many?.reset();
  }
}

function scanLists(
  bytes: Buffer,
  single: boolean,
  most: number,
  many: NumberScanner | undefined,
): Scanned | undefined {
  const double = new Float64Array(1);
  const cursor: Cursor = { bytes, at: 0, double, words: new Uint32Array(double.buffer) };
  const lists: ScannedList[] = [];
  let text = '';
  let copied = 0;
  for (;;) {
    const start = bytes.indexOf(quote, cursor.at);
    if (start < 0) break;
    const end = endOfString(bytes, start);
    if (end < 0) return undefined;
    cursor.at = end + 1;
    if (end - start !== 5 || bytes.toString('latin1', start + 1, end) !== 'data') continue;
    skipBlanks(cursor);
    // As a value it is a text like any other.
    if (bytes[cursor.at] !== 0x3a) continue;
    cursor.at++;
    skipBlanks(cursor);
    const from = cursor.at;
    const read = lists.length < most ? scanNumbers(cursor, single, many) : undefined;
    if (!read) return undefined;
    const until = cursor.at;
    // With a blank behind it, so that nothing that follows becomes a part of the number.
    text += `${bytes.toString('utf8', copied, from)}${lists.length} `;
    copied = until;
    lists.push({
      ...read,
      parse: () => parseJson(bytes.toString('latin1', from, until), { bigints: !single }),
    });
  }
  if (lists.length === 0) return undefined;
  return { text: text + bytes.toString('utf8', copied, bytes.length), lists };
}

function endOfString(bytes: Buffer, start: number): number {
  for (let at = start + 1; ; at++) {
    at = bytes.indexOf(quote, at);
    if (at < 0) return -1;
    let slashes = 0;
    while (bytes[at - 1 - slashes] === backslash) slashes++;
    if (slashes % 2 === 0) return at;
  }
}

/** Bytes behind which there may be so many numbers that calling for them pays. */
const fewest = 512;

/** So many times what was read there is room for, at most: behind many a short list lie others. */
const mostGrowth = 16;

const scanner = lazyScanner();

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function skipBlanks(cursor: Cursor): void {
  while (isBlank(cursor.bytes[cursor.at])) cursor.at++;
}

/** From an opening bracket behind its closing one. */
function scanNumbers(
  cursor: Cursor,
  single: boolean,
  many: NumberScanner | undefined,
): Pick<ScannedList, 'values' | 'finite'> | undefined {
  const { bytes } = cursor;
  if (bytes[cursor.at] !== open) return undefined;
  const from = cursor.at++;
  skipBlanks(cursor);
  let values = single ? new Float32Array(16) : new Float64Array(16);
  let count = 0;
  let finite = true;
  if (bytes[cursor.at] === close) {
    cursor.at++;
    return { values: values.subarray(0, 0), finite };
  }
  const makeRoom = (more: number): void => {
    if (count + more <= values.length) return;
    // The rest is about as dense as what was read so far, if all of it belongs to this list.
    const whole = (1.02 * ((count + more) * (bytes.length - from))) / (cursor.at - from);
    const wider = new (single ? Float32Array : Float64Array)(
      Math.ceil(Math.max(2 * count, count + more, Math.min(whole, mostGrowth * (count + more)))),
    );
    wider.set(values);
    values = wider;
  };
  for (;;) {
    let left = true;
    if (many) {
      const read = many.scan(bytes, cursor.at);
      ({ left, at: cursor.at } = read);
      if (count === 0 && !left && bytes[cursor.at] === close) {
        // Mostly that is all of them.
        cursor.at++;
        return { values: read.values.slice(), finite };
      }
      makeRoom(read.values.length);
      values.set(read.values, count);
      count += read.values.length;
    }
    if (left) {
      const value = scanNumber(cursor, single);
      if (value === undefined) return undefined;
      makeRoom(1);
      values[count] = value;
      finite &&= Number.isFinite(values[count]);
      count++;
    }
    if (isBlank(bytes[cursor.at])) skipBlanks(cursor);
    const byte = bytes[cursor.at++];
    if (byte === close) return { values: trim(values, count), finite };
    if (byte !== comma) return undefined;
    if (isBlank(bytes[cursor.at])) skipBlanks(cursor);
  }
}

/** Without what is left over; where that is little it stays behind them, which spares a copy. */
function trim<T extends Float32Array | Float64Array>(values: T, count: number): T {
  return (count > 0.9 * values.length ? values.subarray(0, count) : values.slice(0, count)) as T;
}

const powers = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);
/** Of a number; the rest is below the last bit of a double. */
const mostDigits = 18;
/** Of the bits of a double that single precision drops, those next to one half. */
const [dropped, half, near] = [0x1fff_ffff, 0x1000_0000, 64];
const lowWord = endianness() === 'LE' ? 0 : 1;

/**
 * A JSON number. Up to 2⁵³ digits and powers of ten to 22 are exact in doubles, so that one product or quotient of them
 * is rounded once (Clinger 1990). Beyond, 18 digits are off by a few units in the last place, which single precision does
 * not see except next to the middle between two of its numbers; there, and for doubles, `Number` reads the text.
 */
function scanNumber(cursor: Cursor, single: boolean): number | undefined {
  const { bytes } = cursor;
  const start = cursor.at;
  let at = start;
  const negative = bytes[at] === minus;
  if (negative) at++;
  let byte = bytes[at]!;
  if (!(byte >= zero && byte <= nine)) return undefined;
  // Nine digits fit into an integer of 32 bits, whose products take a third of the time of a double's.
  let high = 0;
  let low = 0;
  let digits = 0;
  let scale = 0;
  if (byte === zero) {
    byte = bytes[++at]!;
    if (byte >= zero && byte <= nine) return undefined;
  } else {
    const first = at;
    for (const end = at + 9; byte >= zero && byte <= nine && at < end; byte = bytes[++at]!)
      high = (Math.imul(high, 10) + byte - zero) | 0;
    for (const end = at + 9; byte >= zero && byte <= nine && at < end; byte = bytes[++at]!)
      low = (Math.imul(low, 10) + byte - zero) | 0;
    digits = at - first;
    for (; byte >= zero && byte <= nine; byte = bytes[++at]!) scale++;
  }
  if (byte === dot) {
    byte = bytes[++at]!;
    const first = at;
    if (digits === 0) while (byte === zero) byte = bytes[++at]!;
    const start = at;
    for (const end = at + 9 - digits; byte >= zero && byte <= nine && at < end; byte = bytes[++at]!)
      high = (Math.imul(high, 10) + byte - zero) | 0;
    for (
      const end = start + mostDigits - digits;
      byte >= zero && byte <= nine && at < end;
      byte = bytes[++at]!
    )
      low = (Math.imul(low, 10) + byte - zero) | 0;
    digits += at - start;
    scale += first - at;
    while (byte >= zero && byte <= nine) byte = bytes[++at]!;
    if (at === first) return undefined;
  }
  if (byte === 0x65 || byte === 0x45) {
    byte = bytes[++at]!;
    const down = byte === minus;
    if (down || byte === plus) byte = bytes[++at]!;
    const first = at;
    let exponent = 0;
    for (; byte >= zero && byte <= nine; byte = bytes[++at]!)
      exponent = Math.min(9999, exponent * 10 + byte - zero);
    if (at === first) return undefined;
    scale += down ? -exponent : exponent;
  }
  cursor.at = at;
  const mantissa = digits <= 9 ? high : high * powers[digits - 9]! + low;
  if (scale < -22 || scale > 22) return Number(bytes.toString('latin1', start, at));
  const value = scale < 0 ? mantissa / powers[-scale]! : mantissa * powers[scale]!;
  if (mantissa > Number.MAX_SAFE_INTEGER) {
    if (!single) return Number(bytes.toString('latin1', start, at));
    cursor.double[0] = value;
    const distance = (cursor.words[lowWord]! & dropped) - half;
    // Below the normal numbers single precision drops more bits than these.
    if ((distance > -near && distance < near) || value < 1.2e-38)
      return Number(bytes.toString('latin1', start, at));
  }
  return negative ? -value : value;
}
