import { attr, type Attributes } from '../../graph.js';
import { channelsFirst, plainOrder, turned, type Handle } from '../order.js';
import { ranked, type Site } from '../site.js';

/** An image, sequence or volume with its channels on the second axis. */
export interface Image {
  /** Name of the value [N, channels, …]. */
  readonly x: string;
  readonly channels: number;
  /** Sizes of the axes that a kernel goes over; text where they are not known. */
  readonly sizes: readonly (number | string)[];
  /** The order of Keras for values that are laid out like it. */
  readonly order: readonly number[];
}

/** @param rank Of the kernel: 1 for sequences, 2 for images, 3 for volumes. */
export function imageOf(site: Site, rank: number): Image {
  const { g, settings } = site;
  const handle: Handle = ranked(site, rank + 2);
  const format = settings.text('data_format', ['channels_last', 'channels_first'], 'channels_last');
  const order = format === 'channels_first' ? plainOrder(rank + 2) : channelsFirst(rank + 2);
  const x = turned(g, handle, order);
  const [, channels, ...sizes] = g.shapeOf(x);
  return { x, channels: Number(channels), sizes, order };
}

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations?: readonly number[];
  readonly padding: 'valid' | 'same' | 'causal';
}

/** Attributes of a Conv or pool. Sizes that are not known leave the padding to the operator. */
export function windowAttributes(
  sizes: Image['sizes'],
  { kernel, strides, dilations, padding }: Window,
): Attributes {
  const rates = dilations ?? kernel.map(() => 1);
  const reach = kernel.map((size, axis) => rates[axis]! * (size - 1) + 1);
  const shared = {
    kernel_shape: attr.ints(kernel),
    strides: attr.ints(strides),
    ...(rates.some((rate) => rate > 1) && { dilations: attr.ints(rates) }),
  };
  if (padding === 'causal') return { ...shared, pads: attr.ints([reach[0]! - 1, 0]) };
  if (padding === 'valid') return { ...shared, pads: attr.ints(kernel.flatMap(() => [0, 0])) };
  if (sizes.some((size) => typeof size === 'string'))
    return { ...shared, auto_pad: attr.string('SAME_UPPER') };
  const total = sizes.map((size, axis) =>
    Math.max(
      (Math.ceil(Number(size) / strides[axis]!) - 1) * strides[axis]! + reach[axis]! - Number(size),
      0,
    ),
  );
  const before = total.map((missing) => Math.floor(missing / 2));
  return {
    ...shared,
    pads: attr.ints([...before, ...total.map((missing, axis) => missing - before[axis]!)]),
  };
}
