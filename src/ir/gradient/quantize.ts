import { numberAttribute } from '../graph.js';
import { fromFront } from '../shapes/rule.js';
import { cast, type GradientRules, type GradientSite } from './rule.js';

/** Smallest and largest integers of the types that values are rounded to. */
const bounds: Readonly<Record<string, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  uint16: [0, 2 ** 16 - 1],
};

/** The axis along which there is a scale for each channel; undefined where one scale is for all. */
function channelAxis(site: GradientSite): number | undefined {
  if (numberAttribute(site.node, 'block_size', 0) !== 0) site.refuse('its scales are for blocks');
  if (site.dims(1).length === 0) return undefined;
  return fromFront(numberAttribute(site.node, 'axis', 1), site.dims(0).length);
}

/** All axes but that of the channels. */
function otherAxes(site: GradientSite): number[] {
  const axis = channelAxis(site);
  return site.dims(0).flatMap((_, at) => (at === axis ? [] : [at]));
}

/** The scale, or the zero point as a number of its type, in a shape that broadcasts against the values. */
function alongChannels(site: GradientSite, name: string): string {
  const others = otherAxes(site);
  const isOne = channelAxis(site) === undefined || others.length === 0;
  return isOne ? name : site.g.op('Unsqueeze', [name, site.g.int64s(others)]);
}

function zeroOf(site: GradientSite): string {
  const { g, x } = site;
  if (!site.has(2)) return g.scalar(0, site.dtypeOf(x[1]!));
  return alongChannels(site, cast(g, x[2]!, site.dtypeOf(x[1]!)));
}

/** Adds up what belongs to one scale. */
function sumOfChannels(site: GradientSite, value: string): string {
  const others = otherAxes(site);
  return others.length === 0 ? value : site.sum(value, others, false);
}

/**
 * Straight through the rounding (Bengio, Léonard and Courville, arXiv:1308.3432): a step counts as the line through its
 * middle, and what is cut off at the ends of the integers does not move. The two rules together are, of a scale, the gradient
 * of learned step sizes (Esser and others, arXiv:1902.08153): round(x/s) − x/s inside, the outermost integer outside.
 */
export const quantizationGradients: GradientRules = {
  QuantizeLinear: (site) => {
    const { g, dy, x, y } = site;
    const scale = () => alongChannels(site, x[1]!);
    const [low, high] = bounds[g.dtypeOf(y[0]!)] ?? site.refuse(`it rounds to ${g.dtypeOf(y[0]!)}`);
    const inside = (value: string): string => {
      const zero = zeroOf(site);
      const end = (integer: number) => site.mul(site.sub(site.number(integer), zero), scale());
      const above = g.op('GreaterOrEqual', [x[0]!, end(low - 0.5)]);
      return site.where(g.op('And', [above, g.op('LessOrEqual', [x[0]!, end(high + 0.5)])]), value);
    };
    return [
      () => inside(site.div(dy, scale())),
      () => {
        const slope = site.div(x[0]!, site.mul(scale(), scale()));
        return sumOfChannels(site, inside(site.neg(site.mul(dy, slope))));
      },
    ];
  },
  DequantizeLinear: (site) => {
    const { g, dy, x } = site;
    return [
      () => site.mul(dy, alongChannels(site, x[1]!)),
      () => {
        const steps = site.sub(cast(g, x[0]!, site.dtypeOf(x[1]!)), zeroOf(site));
        return sumOfChannels(site, site.mul(dy, steps));
      },
    ];
  },
};
