import type { Sharp, SharpConstructor } from 'sharp';
import { BadImage } from './bad-image.js';
import { loadSharp } from './sharp.js';
import { shapeOf, type ImageSpec } from './spec.js';

/** Pixels of an image at most, as it is in its file: more are a mistake, or meant to exhaust the memory. */
const mostPixels = 10 ** 8;

/** Reads images one way. */
export interface Decoder {
  /**
   * @param bytes An image file.
   * @returns uint8 [channels, height, width], 0 to 255. The same bytes give the same, trained or served.
   * @throws BadImage
   */
  decode(bytes: Uint8Array): Promise<Uint8Array>;
}

/** [height, width] as the image is seen: turned the way its EXIF says. @throws BadImage */
export async function measureImage(bytes: Uint8Array): Promise<[height: number, width: number]> {
  const sharp = await loadSharp();
  refuseUnknown(bytes);
  return explained(async () => {
    const { autoOrient } = await open(sharp, bytes).metadata();
    return [autoOrient.height, autoOrient.width];
  });
}

/**
 * Of animations the first picture counts, of pages the first. Colours are taken to sRGB with 8 bits, whatever the file
 * has (CMYK, 16 bits, a profile).
 * @throws MaasError MAAS_ENGINE_MISSING
 */
export async function openDecoder(spec: ImageSpec): Promise<Decoder> {
  const sharp = await loadSharp();
  const { height, width, channels, fit, background } = spec;
  return {
    async decode(bytes) {
      refuseUnknown(bytes);
      const image = open(sharp, bytes).autoOrient();
      const opaque = channels === 4 ? image.ensureAlpha() : image.flatten({ background });
      const interleaved = await explained(() =>
        opaque
          .resize({ width, height, fit, background })
          .toColourspace(channels === 1 ? 'b-w' : 'srgb')
          .raw({ depth: 'uchar' })
          .toBuffer(),
      );
      return toPlanes(interleaved, spec);
    },
  };
}

function open(sharp: SharpConstructor, bytes: Uint8Array): Sharp {
  // Warnings are left alone: many cameras write headers that are not quite right.
  return sharp(bytes, { failOn: 'error', limitInputPixels: mostPixels, sequentialRead: true });
}

/** Pixel by pixel → channel by channel. */
function toPlanes(interleaved: Uint8Array, spec: ImageSpec): Uint8Array {
  const [channels, height, width] = shapeOf(spec);
  const plane = height * width;
  if (interleaved.length !== channels * plane)
    throw new Error(`sharp gave ${interleaved.length} values for ${channels} × ${height} × ${width}`);
  const planes = new Uint8Array(interleaved.length);
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (let from = channel; from < interleaved.length; from += channels) planes[at++] = interleaved[from]!;
  }
  return planes;
}

async function explained<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const message = (error as Error).message.split('\n')[0]!;
    if (/pixel limit/i.test(message))
      throw new BadImage(`has more than ${mostPixels / 10 ** 6} million pixels`);
    throw new BadImage(`is damaged or cut off (${message})`);
  }
}

/**
 * By the first bytes, as hex. What sharp could read beside these (SVG, PDF, …) is no photograph, or no safe input.
 */
function refuseUnknown(bytes: Uint8Array): void {
  const head = Buffer.from(bytes.subarray(0, 12)).toString('hex');
  // JPEG, PNG, GIF, WebP (RIFF), TIFF in either order, AVIF (ftypavif, ftypavis).
  const known =
    /^ffd8ff|^89504e470d0a1a0a|^474946383[79]61|^52494646.{8}57454250|^49492a00|^4d4d002a|^.{8}6674797061766(?:966|973)/;
  if (known.test(head)) return;
  throw new BadImage(bytes.length === 0 ? 'is empty' : `is no ${imageFormats} image`);
}

export const imageFormats = 'JPEG, PNG, WebP, GIF, TIFF or AVIF';
