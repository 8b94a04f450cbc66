import { attr, type Attributes } from '../../../src/ir/graph.js';
import type { GradientCase } from '../gradient-cases.js';

const of = (op: string, more: Partial<GradientCase> = {}, attributes: Attributes = {}): GradientCase => {
  const [domain, name] = op.includes(':') ? (op.split(':') as [string, string]) : ['', op];
  return {
    what: Object.keys(attributes).join(' ') || 'plain',
    shapes: [[2, 4]],
    build: (g, x) => g.ops(name, x, attributes, { domain }),
    ...more,
  };
};

const float = attr.float;
/** (−2, 2) → (−0.9, 0.9) */
const inside = { domain: (value: number) => value * 0.45 };
const aboveOne = { domain: (value: number) => Math.abs(value) + 1.3 };
/** Kinks at multiples of ½ stay a good way off. */
const betweenHalves = {
  domain: (value: number) => (Math.floor(2 * value) + 0.2 + 0.6 * (2 * value - Math.floor(2 * value))) / 2,
};
/** onnxruntime has Shrink for doubles, but keeps its result in single precision. */
const shrunk = { ...betweenHalves, single: true };

export const activationCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Celu: [of('Celu'), of('Celu', {}, { alpha: float(0.5) })],
  HardSwish: [of('HardSwish'), of('HardSwish', { what: 'wide', domain: (value) => 2 * value + 0.04 })],
  Mish: [of('Mish')],
  Swish: [of('Swish', { opset: 24 }), of('Swish', { opset: 24 }, { alpha: float(1.5) })],
  'com.microsoft:QuickGelu': [of('com.microsoft:QuickGelu')],
  'com.microsoft:Gelu': [of('com.microsoft:Gelu')],
  ThresholdedRelu: [of('ThresholdedRelu', betweenHalves)],
  Shrink: [of('Shrink', shrunk), of('Shrink', shrunk, { bias: float(0.2), lambd: float(1) })],
  Tan: [of('Tan', inside)],
  Sinh: [of('Sinh')],
  Cosh: [of('Cosh')],
  Asin: [of('Asin', inside)],
  Acos: [of('Acos', inside)],
  Atan: [of('Atan')],
  Asinh: [of('Asinh')],
  Acosh: [of('Acosh', aboveOne)],
  Atanh: [of('Atanh', inside)],
};
