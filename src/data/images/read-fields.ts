import type { Feature, Signature } from '../signature.js';
import { BadImage } from './bad-image.js';
import { imageFormats, openDecoder } from './decode.js';

/** Images that are worked at together. */
const together = 8;

/**
 * Rows as a caller sends them, with uint8 [channels, height, width] in place of each image, or a BadImage that says what
 * is wrong with it. An image is a file in base64, as it is or as a data URL, or its bytes. Pixels are those that training
 * would have of the same file.
 * @throws MaasError MAAS_ENGINE_MISSING
 */
export async function readImageFields(
  { features }: Signature,
  rows: readonly unknown[],
): Promise<readonly unknown[]> {
  const images = features.filter(({ type }) => type === 'image');
  const read: unknown[] = [];
  for (let start = 0; start < rows.length; start += together) {
    const chunk = rows.slice(start, start + together);
    read.push(...(await Promise.all(chunk.map((row) => readRow(images, row)))));
  }
  return read;
}

async function readRow(images: readonly Feature[], row: unknown): Promise<unknown> {
  if (typeof row !== 'object' || row === null) return row;
  const pixels: [string, Uint8Array | BadImage][] = [];
  for (const { name, image } of images) {
    const value: unknown = Object.hasOwn(row, name) ? row[name as keyof typeof row] : undefined;
    if (typeof value !== 'string' && !(value instanceof Uint8Array)) continue;
    pixels.push([name, await decode(value, image!)]);
  }
  // Whatever else is in the row, a name that objects have by themselves among it, is left to who encodes it.
  return pixels.length === 0 ? row : Object.assign(Object.create(null), row, Object.fromEntries(pixels));
}

async function decode(value: string | Uint8Array, spec: NonNullable<Feature['image']>) {
  const decoder = await openDecoder(spec);
  try {
    return await decoder.decode(typeof value === 'string' ? fromBase64(value) : value);
  } catch (error) {
    if (error instanceof BadImage) return error;
    throw error;
  }
}

/** Buffer takes what it can read and passes over the rest; a text that is something else must not become an image. */
function fromBase64(text: string): Buffer {
  const content = text.replace(/^data:[^,;]*(?:;[^,;]*)*;base64,/i, '').replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(content))
    throw new BadImage(`must be a file in base64 or a data URL (${imageFormats}), and is no base64`);
  return Buffer.from(content, 'base64');
}
