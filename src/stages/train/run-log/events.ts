/**
 * Events as TensorBoard reads them, tensorflow.Event (event.proto, summary.proto): a few fields of protobuf, which is
 * all that a scalar takes. No kept library on npm writes them without TensorFlow itself.
 */

/** A figure at a step. */
export interface Scalar {
  readonly tag: string;
  /** Counted from 1: an epoch, or a step of the whole training. */
  readonly step: number;
  readonly value: number;
}

/** The event that every file begins with. @param time In seconds since 1970. */
export function encodeVersion(time: number): Buffer {
  return Buffer.concat([double(1, time), text(3, 'brain.Event:2')]);
}

/** @param time In seconds since 1970. */
export function encodeScalar({ tag, step, value }: Scalar, time: number): Buffer {
  const float = Buffer.alloc(4);
  float.writeFloatLE(value);
  const summaryValue = Buffer.concat([text(1, tag), key(2, 5), float]);
  return Buffer.concat([double(1, time), key(2, 0), varint(step), bytes(5, bytes(1, summaryValue))]);
}

/** The scalar in an event that `encodeScalar` wrote; undefined for any other. */
export function decodeScalar(event: Buffer): Scalar | undefined {
  const fields = new Map(readFields(event));
  const summary = fields.get(5);
  const value = Buffer.isBuffer(summary) && new Map(readFields(summary)).get(1);
  const step = fields.get(2);
  if (!Buffer.isBuffer(value) || typeof step !== 'number') return undefined;
  const inner = new Map(readFields(value));
  const [tag, float] = [inner.get(1), inner.get(2)];
  if (!Buffer.isBuffer(tag) || !Buffer.isBuffer(float)) return undefined;
  return { tag: tag.toString('utf8'), step, value: float.readFloatLE() };
}

function key(field: number, wire: number): Buffer {
  return varint(field * 8 + wire);
}

function varint(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...out, rest]);
}

function double(field: number, value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeDoubleLE(value);
  return Buffer.concat([key(field, 1), out]);
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([key(field, 2), varint(value.length), value]);
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value, 'utf8'));
}

/** Numbers of varints, bytes of everything else. */
function* readFields(message: Buffer): Generator<[number, number | Buffer]> {
  let at = 0;
  const readVarint = (): number => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * scale;
      scale *= 128;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = readVarint();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) yield [field, readVarint()];
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : readVarint();
      yield [field, message.subarray(at, at + length)];
      at += length;
    }
  }
}
