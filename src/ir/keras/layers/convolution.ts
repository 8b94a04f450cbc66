import { attr } from '../../graph.js';
import type { NdArray } from '../../tensor.js';
import type { Emitter, Site } from '../site.js';
import { rearranged } from '../weights.js';
import { activate } from './activations.js';
import { imageOf, windowAttributes, type Image, type Window } from './window.js';

function windowOf({ settings }: Site, rank: number): Window {
  const paddings = rank === 1 ? (['valid', 'same', 'causal'] as const) : (['valid', 'same'] as const);
  return {
    kernel: settings.numbers('kernel_size', rank),
    strides: settings.numbers('strides', rank, Array<number>(rank).fill(1)),
    dilations: settings.numbers('dilation_rate', rank, Array<number>(rank).fill(1)),
    padding: settings.text(`padding`, paddings, 'valid'),
  };
}

/** [size…, a, b] of Keras → [b, a, size…]. */
const outFirst = (kernel: NdArray): NdArray => {
  const { length } = kernel.dims;
  return rearranged(kernel, [length - 1, length - 2, ...kernel.dims.keys()].slice(0, length));
};

function biasOf(site: Site, filters: number): string[] {
  if (!site.settings.flag('use_bias', true)) return [];
  return [site.weight('bias', () => site.expect('bias', [filters]))];
}

const convolution =
  (rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { x, channels, sizes, order } = imageOf(site, rank);
    const window = windowOf(site, rank);
    const [filters, groups] = [settings.number('filters'), settings.number('groups', 1)];
    const dims = [...window.kernel, channels / groups, filters];
    const kernel = site.weight('kernel', () => outFirst(site.expect('kernel', dims)));
    const value = g.op('Conv', [x, kernel, ...biasOf(site, filters)], {
      ...windowAttributes(sizes, window),
      ...(groups > 1 && { group: attr.int(groups) }),
    });
    return activate(site, { value, order });
  };

/** TensorFlow.js does not write it for separable convolutions: the weight tells as well. */
const multiplierOf = (site: Site): number =>
  site.settings.number('depth_multiplier', site.find('depthwise_kernel')?.dims.at(-1) ?? 1);

/** Each channel by itself; its kernels follow one another in what it gives. */
function emitDepthwise(
  site: Site,
  { x, channels, sizes }: Image,
  window: Window,
  multiplier: number,
  bias: string[],
) {
  const dims = [...window.kernel, channels, multiplier];
  const part = site.find('depthwise_kernel') ? 'depthwise_kernel' : 'kernel';
  const kernel = site.weight(part, () => {
    const { length } = window.kernel;
    const turned = rearranged(site.expect(part, dims), [length, length + 1, ...window.kernel.keys()]);
    return { ...turned, dims: [channels * multiplier, 1, ...window.kernel] };
  });
  return site.g.op('Conv', [x, kernel, ...bias], {
    ...windowAttributes(sizes, window),
    group: attr.int(channels),
  });
}

const depthwise =
  (rank: number): Emitter =>
  (site) => {
    const image = imageOf(site, rank);
    const multiplier = multiplierOf(site);
    const bias = biasOf(site, image.channels * multiplier);
    const value = emitDepthwise(site, image, windowOf(site, rank), multiplier, bias);
    return activate(site, { value, order: image.order });
  };

const separable =
  (rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const image = imageOf(site, rank);
    const multiplier = multiplierOf(site);
    const filters = settings.number('filters');
    const spread = emitDepthwise(site, image, windowOf(site, rank), multiplier, []);
    const one = Array<number>(rank).fill(1);
    const dims = [...one, image.channels * multiplier, filters];
    const kernel = site.weight('pointwise_kernel', () => outFirst(site.expect('pointwise_kernel', dims)));
    const mixing = windowAttributes([], { kernel: one, strides: one, padding: 'valid' });
    const value = g.op('Conv', [spread, kernel, ...biasOf(site, filters)], mixing);
    return activate(site, { value, order: image.order });
  };

const transposed =
  (rank: number): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { x, channels, order } = imageOf(site, rank);
    const { kernel, strides, dilations, padding } = windowOf(site, rank);
    if (dilations!.some((rate) => rate > 1)) throw settings.fail('dilation_rate', 'maas knows none here');
    if (settings.raw('output_padding') !== undefined)
      throw settings.fail('output_padding', 'maas knows none');
    const filters = settings.number('filters');
    const weight = site.weight('kernel', () =>
      outFirst(site.expect('kernel', [...kernel, filters, channels])),
    );
    const excess = kernel.map((size, axis) => size - strides[axis]!);
    const cut = excess.map((size) => (padding === 'same' ? Math.max(size, 0) : 0));
    const before = cut.map((size) => Math.floor(size / 2));
    const value = g.op('ConvTranspose', [x, weight, ...biasOf(site, filters)], {
      kernel_shape: attr.ints(kernel),
      strides: attr.ints(strides),
      pads: attr.ints([...before, ...cut.map((size, axis) => size - before[axis]!)]),
      output_padding: attr.ints(excess.map((size) => Math.max(-size, 0))),
    });
    return activate(site, { value, order });
  };

export const convolutions: Readonly<Record<string, Emitter>> = {
  Conv1D: convolution(1),
  Conv2D: convolution(2),
  Conv3D: convolution(3),
  DepthwiseConv1D: depthwise(1),
  DepthwiseConv2D: depthwise(2),
  SeparableConv1D: separable(1),
  SeparableConv2D: separable(2),
  Conv1DTranspose: transposed(1),
  Conv2DTranspose: transposed(2),
  Conv3DTranspose: transposed(3),
};
