const powers = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const [zero, nine, dot, plus, minus] = [0x30, 0x39, 0x2e, 0x2b, 0x2d];

/**
 * The number that some ASCII digits write, to the bit as `Number` reads it; NaN where that takes more than this: up to 15
 * digits and a power of ten up to 22 are exact in double precision, and so is one operation on them.
 */
export function readNumber(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  const first = bytes[at];
  if (first === minus || first === plus) at += 1;
  let [value, digits, places, any] = [0, 0, 0, false];
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte < zero || byte > nine) break;
    any = true;
    value = value * 10 + (byte - zero);
    if (value > 0) digits += 1;
  }
  if (bytes[at] === dot && at < end) {
    for (at += 1; at < end; at++) {
      const byte = bytes[at]!;
      if (byte < zero || byte > nine) break;
      any = true;
      value = value * 10 + (byte - zero);
      if (value > 0) digits += 1;
      places += 1;
    }
  }
  let exponent = -places;
  const mark = bytes[at]! | 0x20;
  if (at < end && mark === 0x65 && any) {
    at += 1;
    const sign = bytes[at];
    if (sign === minus || sign === plus) at += 1;
    let power = 0;
    const from = at;
    for (; at < end && at < from + 4; at++) {
      const byte = bytes[at]!;
      if (byte < zero || byte > nine) break;
      power = power * 10 + (byte - zero);
    }
    if (at === from) return NaN;
    exponent += sign === minus ? -power : power;
  }
  if (at !== end || !any || digits > 15 || exponent > 22 || exponent < -22) return NaN;
  const found = exponent < 0 ? value / powers[-exponent]! : value * powers[exponent]!;
  return first === minus ? -found : found;
}
