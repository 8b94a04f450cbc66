import { attr } from '../../graph.js';
import { handleOf, type Emitter } from '../site.js';
import { imageOf, windowAttributes } from './window.js';

const pooling =
  (op: 'MaxPool' | 'AveragePool', rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { x, sizes, order } = imageOf(site, rank);
    const kernel = settings.numbers('pool_size', rank, Array<number>(rank).fill(2));
    const strides = settings.numbers('strides', rank, kernel);
    const padding = settings.text('padding', ['valid', 'same'], 'valid');
    return { value: g.op(op, [x], windowAttributes(sizes, { kernel, strides, padding })), order };
  };

const globalPooling =
  (op: 'GlobalMaxPool' | 'GlobalAveragePool', rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { x, order } = imageOf(site, rank);
    const value = g.op(op, [x]);
    return settings.flag('keepdims', false) ? { value, order } : handleOf(g, g.op('Flatten', [value]));
  };

const upSampling: Emitter = (site) => {
  const { g, settings } = site;
  const { x, order } = imageOf(site, 2);
  const size = settings.numbers('size', 2, [2, 2]);
  const nearest = settings.text('interpolation', ['nearest', 'bilinear'], 'nearest') === 'nearest';
  const scales = g.constant(
    { dtype: 'float32', dims: [4], data: new Uint8Array(Float32Array.of(1, 1, ...size).buffer) },
    `${site.layer.name}/scales`,
  );
  const value = g.op('Resize', [x, '', scales], {
    mode: attr.string(nearest ? 'nearest' : 'linear'),
    // The top left pixels lie on one another, as TensorFlow.js has it.
    coordinate_transformation_mode: attr.string('asymmetric'),
    ...(nearest && { nearest_mode: attr.string('floor') }),
  });
  return { value, order };
};

/** [[before, after], …] for each axis of an image; [height, width] or one number stand for both sides. */
function marginsOf(value: unknown, rank: number): [number, number][] | undefined {
  const isCount = (each: unknown): each is number => typeof each === 'number' && each >= 0;
  if (isCount(value)) return Array.from({ length: rank }, () => [value, value]);
  if (!Array.isArray(value)) return undefined;
  const pairs = rank === 1 ? [value] : value.map((each: unknown) => (isCount(each) ? [each, each] : each));
  const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && pair.every(isCount);
  return pairs.length === rank && pairs.every(isPair) ? (pairs as [number, number][]) : undefined;
}

const zeroPadding =
  (rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { x, order } = imageOf(site, rank);
    const margins = marginsOf(settings.raw('padding') ?? 1, rank);
    if (!margins) throw settings.fail('padding');
    const [before, after] = [0, 1].map((side) => margins.map((pair) => pair[side]!));
    return { value: g.op('Pad', [x, g.int64s([0, 0, ...before!, 0, 0, ...after!])]), order };
  };

const cropping =
  (rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { x, order } = imageOf(site, rank);
    const margins = marginsOf(settings.raw('cropping') ?? 0, rank);
    if (!margins) throw settings.fail('cropping');
    const ends = margins.map(([, after]) => (after === 0 ? 2 ** 31 - 1 : -after));
    const axes = margins.map((_, axis) => axis + 2);
    const starts = margins.map(([before]) => before);
    return { value: g.op('Slice', [x, g.int64s(starts), g.int64s(ends), g.int64s(axes)]), order };
  };

const ranks = [1, 2, 3];
const perRank = (stem: string, make: (rank: number) => Emitter): [string, Emitter][] =>
  ranks.map((rank) => [`${stem}${rank}D`, make(rank)]);

export const poolings: Readonly<Record<string, Emitter>> = {
  ...Object.fromEntries([
    ...perRank('MaxPooling', (rank) => pooling('MaxPool', rank)),
    ...perRank('AveragePooling', (rank) => pooling('AveragePool', rank)),
    ...perRank('GlobalMaxPooling', (rank) => globalPooling('GlobalMaxPool', rank)),
    ...perRank('GlobalAveragePooling', (rank) => globalPooling('GlobalAveragePool', rank)),
    ...perRank('ZeroPadding', zeroPadding),
    ...perRank('Cropping', cropping),
  ]),
  UpSampling2D: upSampling,
};
