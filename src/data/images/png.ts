import { crc32, deflateSync } from 'node:zlib';

const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Colour types: gray, red-green-blue, with alpha (PNG specification, 11.2.1). */
const colourTypes: Readonly<Record<number, number>> = { 1: 0, 3: 2, 4: 6 };

/**
 * Pixels as a PNG file that reads back as the same. It is not packed: no version of zlib makes other bytes of it.
 * @param planes uint8 [channels, height, width] with 1, 3 or 4 channels.
 */
export function encodePng(
  planes: Uint8Array,
  [channels, height, width]: readonly [number, number, number],
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, colourTypes[channels]!, 0, 0, 0], 8);
  const stride = 1 + width * channels;
  const lines = Buffer.alloc(stride * height);
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) lines[y * stride + 1 + x * channels + channel] = planes[at++]!;
    }
  }
  const data = deflateSync(lines, { level: 0 });
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
