import { z } from 'zod';
import { attr } from '../../../ir/graph.js';
import { activationNames, activations, type ActivationName } from './activations.js';
import { initializerNames, type InitializerName } from './initializers.js';
import type { Layer, Site } from './layer.js';
import { expectRank, withChannelsFirst } from './shapes.js';
import { padding, perAxis, windowAttributes, type WindowOptions } from './window.js';

const filters = z.int().min(1).describe('Channels that it gives.');

const weights = {
  activation: z.enum(activationNames).default('linear').describe('Function of each output.'),
  useBias: z.boolean().default(true).describe('Whether each channel has an offset of its own.'),
  kernelInitializer: z.enum(initializerNames).default('glorotUniform').describe('First weights.'),
  biasInitializer: z.enum(initializerNames).default('zeros').describe('First offsets.'),
};

const windowOptions = (rank: number) => ({
  kernelSize: perAxis(rank, 'Size of the kernel along each axis.'),
  strides: perAxis(rank, 'How far the kernel goes at a time.').prefault(1),
  padding: padding.default('valid'),
});

const convolutionOptions = (rank: number) =>
  z.strictObject({
    filters,
    ...windowOptions(rank),
    dilationRate: perAxis(rank, 'Distance between the elements that the kernel reads.').prefault(1),
    groups: z
      .int()
      .min(1)
      .default(1)
      .describe('Parts that the channels are divided into; each sees its own.'),
    ...weights,
  });

interface Weights {
  readonly activation: ActivationName;
  readonly useBias: boolean;
  readonly kernelInitializer: InitializerName;
  readonly biasInitializer: InitializerName;
}

const volume = (kernel: readonly number[]): number => kernel.reduce((product, size) => product * size, 1);

interface Kernel {
  readonly part: string;
  readonly channels: number;
  readonly filters: number;
  readonly groups: number;
}

/** Conv on [N, channels, …] without its activation. */
function emitConvolution(
  site: Site,
  x: string,
  { part, channels, filters, groups }: Kernel,
  window: WindowOptions,
  { useBias, kernelInitializer, biasInitializer }: Omit<Weights, 'activation'>,
): string {
  const { g, weight, name } = site;
  const dims = [filters, channels / groups, ...window.kernel];
  const fans = { in: dims[1]! * volume(window.kernel), out: (filters / groups) * volume(window.kernel) };
  const kernel = weight(part, dims, kernelInitializer, fans);
  const bias = useBias ? [weight('bias', [filters], biasInitializer, fans)] : [];
  const sizes = g.shapeOf(x).slice(2).map(Number);
  const attributes = windowAttributes(site, sizes, window);
  return g.op(
    'Conv',
    [x, kernel, ...bias],
    { ...attributes, ...(groups > 1 && { group: attr.int(groups) }) },
    { name },
  );
}

function convolution(rank: number, what: string): Layer<z.output<ReturnType<typeof convolutionOptions>>> {
  return {
    summary: `a kernel that goes over ${what}`,
    options: convolutionOptions(rank),
    emit(site, x, { filters, kernelSize, strides, padding, dilationRate, groups, activation, ...rest }) {
      expectRank(site, x, rank + 1);
      return withChannelsFirst(site, x, (turned) => {
        const channels = Number(site.g.shapeOf(turned)[1]);
        if (channels % groups !== 0 || filters % groups !== 0) {
          throw site.misfit(
            `${groups} groups do not divide ${channels} channels into ${filters} filters evenly`,
            'Choose groups that divide both.',
          );
        }
        const window = { kernel: kernelSize, strides, dilations: dilationRate, padding };
        const kernel = { part: 'kernel', channels, filters, groups };
        return activations[activation](site.g, emitConvolution(site, turned, kernel, window, rest));
      });
    },
  };
}

export const conv1d = convolution(1, 'the steps of a sequence');
export const conv2d = convolution(2, 'an image');
export const conv3d = convolution(3, 'a volume');

const depthwiseOptions = z.strictObject({
  ...windowOptions(2),
  dilationRate: perAxis(2, 'Distance between the elements that the kernel reads.').prefault(1),
  depthMultiplier: z.int().min(1).default(1).describe('Channels that each channel gives.'),
  ...weights,
});

/** Each channel has kernels of its own. */
export const depthwiseConv2d: Layer<z.output<typeof depthwiseOptions>> = {
  summary: 'kernels that go over each channel of an image by itself',
  options: depthwiseOptions,
  emit(site, x, { kernelSize, strides, padding, dilationRate, depthMultiplier, activation, ...rest }) {
    const channels = expectRank(site, x, 3)[0]!;
    const kernel = { part: 'kernel', channels, filters: channels * depthMultiplier, groups: channels };
    const window = { kernel: kernelSize, strides, dilations: dilationRate, padding };
    return activations[activation](site.g, emitConvolution(site, x, kernel, window, rest));
  },
};

const separableOptions = depthwiseOptions.extend({ filters });

/** A depthwise kernel, then one that mixes the channels of each pixel (Chollet, arXiv:1610.02357). */
export const separableConv2d: Layer<z.output<typeof separableOptions>> = {
  summary: 'a kernel for each channel of an image, then a mixture of the channels',
  options: separableOptions,
  emit(
    site,
    x,
    { filters, kernelSize, strides, padding, dilationRate, depthMultiplier, activation, ...rest },
  ) {
    const channels = expectRank(site, x, 3)[0]!;
    const inner = channels * depthMultiplier;
    const depthwise = { part: 'depthwiseKernel', channels, filters: inner, groups: channels };
    const window = { kernel: kernelSize, strides, dilations: dilationRate, padding };
    const spread = emitConvolution(site, x, depthwise, window, { ...rest, useBias: false });
    const pointwise = { part: 'pointwiseKernel', channels: inner, filters, groups: 1 };
    const one = { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], padding: 'valid' } as const;
    return activations[activation](site.g, emitConvolution(site, spread, pointwise, one, rest));
  },
};

const transposeOptions = z.strictObject({ filters, ...windowOptions(2), ...weights });

/** The transpose of a convolution: strides make the image larger. With `same` by just the strides. */
export const conv2dTranspose: Layer<z.output<typeof transposeOptions>> = {
  summary: 'a kernel that makes an image larger',
  options: transposeOptions,
  emit(site, x, { filters, kernelSize, strides, padding, activation, useBias, ...rest }) {
    const { g, weight, name } = site;
    const channels = expectRank(site, x, 3)[0]!;
    const fans = { in: channels * volume(kernelSize), out: filters * volume(kernelSize) };
    const kernel = weight('kernel', [channels, filters, ...kernelSize], rest.kernelInitializer, fans);
    const bias = useBias ? [weight('bias', [filters], rest.biasInitializer, fans)] : [];
    const excess = kernelSize.map((size, axis) => size - strides[axis]!);
    const cut = excess.map((size) => (padding === 'same' ? Math.max(size, 0) : 0));
    const before = cut.map((size) => Math.floor(size / 2));
    const attributes = {
      kernel_shape: attr.ints(kernelSize),
      strides: attr.ints(strides),
      pads: attr.ints([...before, ...cut.map((size, axis) => size - before[axis]!)]),
      // A kernel smaller than the strides leaves the last elements to nobody: they are the bias alone.
      output_padding: attr.ints(excess.map((size) => Math.max(-size, 0))),
    };
    return activations[activation](g, g.op('ConvTranspose', [x, kernel, ...bias], attributes, { name }));
  },
};
