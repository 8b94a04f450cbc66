import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { BadImage } from '../../../src/data/images/bad-image.js';
import { measureImage, openDecoder } from '../../../src/data/images/decode.js';
import { encodePng } from '../../../src/data/images/png.js';
import { shapeOf, type ImageSpec } from '../../../src/data/images/spec.js';

const spec = (facts: Partial<ImageSpec> = {}): ImageSpec => ({
  height: 4,
  width: 6,
  channels: 3,
  fit: 'cover',
  background: '#000000',
  ...facts,
});

/** uint8 [channels, height, width] */
const planesOf = ({ channels, height, width }: ImageSpec, seed = 1): Uint8Array =>
  Uint8Array.from({ length: channels * height * width }, (_, at) => (at * 53 * seed + at * at * 7) % 256);

const decode = async (bytes: Uint8Array, facts?: Partial<ImageSpec>): Promise<Uint8Array> =>
  (await openDecoder(spec(facts))).decode(bytes);

/** The same colour everywhere. */
const flat = (width: number, height: number, background: string): Sharp =>
  sharp({ create: { width, height, channels: 4, background } });

describe('openDecoder', () => {
  it('reads back what encodePng writes, of every size and number of channels', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          height: fc.integer({ min: 1, max: 20 }),
          width: fc.integer({ min: 1, max: 20 }),
          channels: fc.constantFrom(1, 3, 4),
        }),
        fc.integer({ min: 1, max: 99 }),
        async (size, seed) => {
          const exact = spec(size);
          const planes = planesOf(exact, seed);
          const png = encodePng(planes, shapeOf(exact));
          expect(await decode(png, exact)).toEqual(planes);
          expect(await measureImage(png)).toEqual([exact.height, exact.width]);
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each(['jpeg', 'webp', 'gif', 'tiff', 'avif', 'png'] as const)('reads %s', async (format) => {
    const bytes = await flat(12, 8, '#c86432').toFormat(format).toBuffer();
    const planes = await decode(bytes);
    const [red, green, blue] = [planes[0]!, planes[24]!, planes[48]!];
    expect(Math.max(Math.abs(red - 200), Math.abs(green - 100), Math.abs(blue - 50))).toBeLessThan(6);
  });

  it('puts the background behind what is transparent, or keeps alpha', async () => {
    const bytes = await flat(6, 4, 'rgba(255, 0, 0, 0.5)').png().toBuffer();
    const pixelOf = (planes: Uint8Array) => Array.from(planes).filter((_, at) => at % 24 === 0);
    expect(pixelOf(await decode(bytes))).toEqual([128, 0, 0]);
    expect(pixelOf(await decode(bytes, { background: '#ffffff' }))).toEqual([255, 127, 127]);
    expect(pixelOf(await decode(bytes, { channels: 4 }))).toEqual([255, 0, 0, 128]);
    const opaque = await flat(6, 4, '#0000ff').jpeg({ quality: 100 }).toBuffer();
    expect(pixelOf(await decode(opaque, { channels: 4 }))[3]).toBe(255);
  });

  it('takes CMYK, 16 bits and gray to the channels that are asked for', async () => {
    const gray = new Uint16Array(24).map((_, at) => at * 2800);
    const wide = sharp(gray, { raw: { width: 6, height: 4, channels: 1 } }).toColourspace('grey16');
    const files = [
      await flat(6, 4, '#c86432').toColourspace('cmyk').jpeg().toBuffer(),
      await flat(6, 4, '#c86432').removeAlpha().toColourspace('rgb16').png().toBuffer(),
      await wide.png().toBuffer(),
    ];
    for (const bytes of files) {
      for (const channels of [1, 3, 4] as const) {
        const planes = await decode(bytes, { channels });
        expect(planes).toHaveLength(24 * channels);
        expect(new Set(planes).size).toBeGreaterThan(channels > 1 ? 1 : 0);
      }
    }
  });

  it('turns an image the way its EXIF says', async () => {
    const planes = planesOf(spec({ channels: 1 }));
    const upright = encodePng(planes, [1, 4, 6]);
    // 6: the first row is on the right side.
    const turned = await sharp(await sharp(upright).rotate(270).png().toBuffer())
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    expect(await measureImage(turned)).toEqual([4, 6]);
    expect(await decode(turned, { channels: 1 })).toEqual(planes);
  });

  it('takes the first picture of an animation', async () => {
    const frames = sharp(Buffer.concat([Buffer.alloc(72, 255), Buffer.alloc(72, 0)]), {
      raw: { width: 6, height: 8, channels: 3, pageHeight: 4 },
    });
    expect([...new Set(await decode(await frames.gif().toBuffer()))]).toEqual([255]);
  });

  it('fits: covers, contains or fills', async () => {
    // Left half white, right half black, twice as wide as high.
    const halves = new Uint8Array(16 * 8).map((_, at) => (at % 16 < 8 ? 255 : 0));
    const bytes = encodePng(halves, [1, 8, 16]);
    const of = async (fit: ImageSpec['fit']) => decode(bytes, { height: 8, width: 8, channels: 1, fit });
    const [cover, contain, fill] = [await of('cover'), await of('contain'), await of('fill')];
    expect([cover[0], cover[7], cover[56], cover[63]]).toEqual([255, 0, 255, 0]);
    expect([contain[0], contain[7], contain[3 * 8]]).toEqual([0, 0, 255]);
    expect([fill[0], fill[7], fill[56], fill[63]]).toEqual([255, 0, 255, 0]);
    expect(cover).not.toEqual(fill);
  });

  it('refuses what is no image, is cut off, or could reach out of itself', async () => {
    const noise = sharp(
      Uint8Array.from({ length: 30_000 }, (_, at) => (at * at * 31 + at * 7) % 256),
      {
        raw: { width: 100, height: 100, channels: 3 },
      },
    );
    for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const) {
      const bytes = await noise.clone().toFormat(format).toBuffer();
      await expect(decode(bytes.subarray(0, bytes.length / 2))).rejects.toBeInstanceOf(BadImage);
    }
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="6" height="4"><image href="file:///etc/passwd"/></svg>';
    for (const text of [svg, '%PDF-1.7', 'GIF89', '', '\xff\xd8\xff'])
      await expect(decode(Buffer.from(text, 'latin1'))).rejects.toBeInstanceOf(BadImage);
  });
});
