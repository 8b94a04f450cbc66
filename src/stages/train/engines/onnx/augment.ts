import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import type { Column } from '../../../../data/dataset.js';
import { sizeOf, type NdArray } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { randomStream } from '../../random.js';
import type { AugmentOptions } from '../../augment-options.js';

/** From a pixel of the new image, as (x, y, 1), to its place in the old one: rows of a matrix. */
type Affine = readonly [xx: number, xy: number, x: number, yx: number, yy: number, y: number];

/** Changes the images of a batch in place. @param first Place in the epoch of the batch's first row. */
export type AugmentRows = (feeds: Readonly<Record<string, NdArray>>, epoch: number, first: number) => void;

/** Inputs of the model whose rows are changed each time that they are trained on. */
export function augmentedInputs({ augment, dataset }: Pick<TrainJob, 'augment' | 'dataset'>): string[] {
  if (!augment) return [];
  return dataset.signature.features.filter(({ type }) => type === 'image').map(({ input }) => input);
}

/**
 * Changes images by chance, before they are fed: raw pixels, so that all else of the model is as it is when served. What
 * happens to an image depends on the seed, the epoch and its place in it alone: a training that is taken up again sees what
 * an unbroken one sees. It is done while the thread that trains computes the steps before.
 */
export function openAugmenter(
  job: Pick<TrainJob, 'augment' | 'dataset' | 'seed'>,
  columns: Readonly<Record<string, Column>>,
): AugmentRows {
  const { augment, seed } = job;
  const inputs = augmentedInputs(job);
  if (!augment) return () => undefined;
  const shapes = new Map(inputs.map((name) => [name, columns[name]!.dims.slice(1)]));
  const scratch = new Uint8Array(Math.max(0, ...[...shapes.values()].map(sizeOf)));
  return (feeds, epoch, first) => {
    for (const [name, shape] of shapes) {
      const data = feeds[name]!.data as Uint8Array;
      const width = sizeOf(shape);
      for (let at = 0, row = first; at < data.length; at += width, row++) {
        const random = randomStream(seed, `augment/${name}/${epoch}`, row);
        change(data.subarray(at, at + width), shape, augment, random, scratch);
      }
    }
  };
}

/** @param image uint8 [channels, height, width]; changed in place. */
export function change(
  image: Uint8Array,
  [channels, height, width]: readonly number[],
  options: AugmentOptions,
  random: RandomGenerator,
  scratch: Uint8Array,
): void {
  const size = { channels: channels!, height: height!, width: width! };
  const placed = drawPlacement(options, size, random);
  if (placed) {
    scratch.set(image);
    resample(scratch, image, size, placed, options);
  }
  const { randomBrightness = 0, randomContrast = 0 } = options;
  if (randomBrightness === 0 && randomContrast === 0) return;
  const added = 255 * randomBrightness * spread(random);
  const factor = 1 + randomContrast * spread(random);
  for (let channel = 0; channel < size.channels; channel++) {
    const plane = size.height * size.width;
    adjust(image.subarray(channel * plane, (channel + 1) * plane), factor, added);
  }
}

/** In [−1, 1]. */
function spread(random: RandomGenerator): number {
  return (random.next() | 0) / 2 ** 31;
}

interface Size {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Flip, rotation, zoom and translation as one, so that an image is sampled once; undefined when it stays where it is. */
function drawPlacement(
  { randomFlip, randomTranslation, randomRotation = 0, randomZoom = 0 }: AugmentOptions,
  { height, width }: Size,
  random: RandomGenerator,
): Affine | undefined {
  const flips = (axis: string): boolean =>
    randomFlip !== undefined && randomFlip.toLowerCase().includes(axis) && spread(random) < 0;
  const [across, down] = [flips('horizontal') ? -1 : 1, flips('vertical') ? -1 : 1];
  const angle = randomRotation === 0 ? 0 : 2 * Math.PI * randomRotation * spread(random);
  const zoom = randomZoom === 0 ? 1 : 1 + randomZoom * spread(random);
  const { widthFactor = 0, heightFactor = 0 } = randomTranslation ?? {};
  const moveX = widthFactor === 0 ? 0 : widthFactor * width * spread(random);
  const moveY = heightFactor === 0 ? 0 : heightFactor * height * spread(random);
  if (across === 1 && down === 1 && angle === 0 && zoom === 1 && moveX === 0 && moveY === 0) return undefined;
  const [cos, sin] = [Math.cos(angle) / zoom, Math.sin(angle) / zoom];
  const [middleX, middleY] = [(width - 1) / 2, (height - 1) / 2];
  const [xx, xy, yx, yy] = [across * cos, across * sin, -down * sin, down * cos];
  const [fromX, fromY] = [middleX + moveX, middleY + moveY];
  return [xx, xy, middleX - xx * fromX - xy * fromY, yx, yy, middleY - yx * fromX - yy * fromY];
}

/** Bilinear: exact where a pixel falls on a pixel. */
function resample(
  from: Uint8Array,
  to: Uint8Array,
  { channels, height, width }: Size,
  [xx, xy, x0, yx, yy, y0]: Affine,
  { fillMode, fillValue }: AugmentOptions,
): void {
  const plane = height * width;
  const isConstant = fillMode === 'constant';
  const place = fillMode === 'reflect' ? reflect : clamp;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const [sourceX, sourceY] = [xx * x + xy * y + x0, yx * x + yy * y + y0];
      const [left, top] = [Math.floor(sourceX), Math.floor(sourceY)];
      const [right, low] = [sourceX - left, sourceY - top];
      const [x1, x2] = [place(left, width), place(left + 1, width)];
      const [y1, y2] = [place(top, height) * width, place(top + 1, height) * width];
      for (let channel = 0, base = 0; channel < channels; channel++, base += plane) {
        let [a, b, c, d] = [
          from[base + y1 + x1]!,
          from[base + y1 + x2]!,
          from[base + y2 + x1]!,
          from[base + y2 + x2]!,
        ];
        if (isConstant) {
          const [noLeft, noRight] = [left < 0 || left >= width, left + 1 < 0 || left + 1 >= width];
          const [noTop, noLow] = [top < 0 || top >= height, top + 1 < 0 || top + 1 >= height];
          if (noTop || noLeft) a = fillValue;
          if (noTop || noRight) b = fillValue;
          if (noLow || noLeft) c = fillValue;
          if (noLow || noRight) d = fillValue;
        }
        const above = a + (b - a) * right;
        const below = c + (d - c) * right;
        to[base + at] = Math.round(above + (below - above) * low);
      }
    }
  }
}

const clamp = (at: number, size: number): number => (at < 0 ? 0 : at >= size ? size - 1 : at);

/** d c b a | a b c d | d c b a */
function reflect(at: number, size: number): number {
  const period = ((at % (2 * size)) + 2 * size) % (2 * size);
  return period < size ? period : 2 * size - 1 - period;
}

/** (value − mean) · factor + mean + added, by a table of all values. */
function adjust(plane: Uint8Array, factor: number, added: number): void {
  let sum = 0;
  for (const value of plane) sum += value;
  const mean = sum / plane.length;
  const table = Uint8ClampedArray.from({ length: 256 }, (_, value) => (value - mean) * factor + mean + added);
  for (let at = 0; at < plane.length; at++) plane[at] = table[plane[at]!]!;
}
