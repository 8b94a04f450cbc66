import { attr, numberAttribute, stringAttribute } from '../graph.js';
import { numbersOf } from '../tensor.js';
import { cast, type GradientRule, type GradientRules, type GradientSite } from './rule.js';

/** An operator of one input, from its derivative dy/dx. */
const unary =
  (slope: (site: GradientSite) => string): GradientRule =>
  (site) => [() => site.mul(site.dy, slope(site))];

/** Activations that pass the gradient on where they are positive, and scale it elsewhere. */
const twoSided =
  (negative: (site: GradientSite) => string): GradientRule =>
  (site) => [
    () => {
      const { g, dy, x } = site;
      const positive = g.op('Greater', [x[0]!, site.number(0)]);
      return g.op('Where', [positive, dy, site.mul(dy, negative(site))]);
    },
  ];

/** Of equal candidates each gets the same share, so that the gradient does not depend on the order of inputs. */
const extreme: GradientRule = (site) => {
  const { g, x, y } = site;
  const masks = new Map<string, string>();
  const maskOf = (name: string) => {
    if (!masks.has(name)) masks.set(name, site.mask(g.op('Equal', [name, y[0]!])));
    return masks.get(name)!;
  };
  return x.map((name) => () => {
    const ties = x.map(maskOf).reduce((total, mask) => site.add(total, mask));
    return site.mul(site.dy, site.div(maskOf(name), ties));
  });
};

const square = (site: GradientSite, name: string) => site.mul(name, name);
/** 1 − a² */
const oneMinusSquare = (site: GradientSite, name: string) => site.sub(site.number(1), square(site, name));
const attribute = (site: GradientSite, name: string, otherwise: number) =>
  site.number(numberAttribute(site.node, name, otherwise));

/** Derivative of the Gaussian error linear unit in its tanh form (Hendrycks and Gimpel, arXiv:1606.08415). */
function tanhGeluSlope(site: GradientSite): string {
  const { g, x } = site;
  const number = (value: number) => site.number(value);
  const squared = square(site, x[0]!);
  const scale = Math.sqrt(2 / Math.PI);
  const cubic = (factor: number) =>
    site.mul(number(scale), site.add(number(1), site.mul(number(factor), squared)));
  const t = g.op('Tanh', [site.mul(x[0]!, cubic(0.044715))]);
  const slope = site.mul(oneMinusSquare(site, t), cubic(3 * 0.044715));
  const half = site.mul(number(0.5), site.add(number(1), t));
  return site.add(half, site.mul(site.mul(number(0.5), x[0]!), slope));
}

/** ½ + ½·erf(u): in a single pass where there is one, of which the bounds cut off nothing. */
function normalShare(site: GradientSite, u: string): string {
  const erf = site.g.op('Erf', [u]);
  if (site.dtypeOf(u) !== 'float32') return site.add(site.mul(erf, site.number(0.5)), site.number(0.5));
  return site.g.op('HardSigmoid', [erf], { alpha: attr.float(0.5), beta: attr.float(0.5) });
}

/**
 * The Gaussian error linear unit (the same paper) as x·Φ(x), so that the way back has Φ and need not work it out again.
 * With u = x/√2 its derivative is Φ + u·exp(−u²)/√π.
 */
export const gelu: GradientRule = (site) => {
  const { g, dy, node, x, y } = site;
  if (stringAttribute(node, 'approximate', 'none') === 'tanh')
    return [() => site.mul(dy, tanhGeluSlope(site))];
  let [u, share] = ['', ''];
  g.replace(node, () => {
    u = site.mul(x[0]!, site.number(Math.SQRT1_2));
    share = normalShare(site, u);
    g.add({ op: 'Mul', domain: '', name: y[0]!, inputs: [x[0]!, share], outputs: [y[0]!], attributes: {} });
  });
  return [
    () => {
      const density = g.op('Exp', [site.sub(site.number(-Math.log(Math.PI) / 2), square(site, u))]);
      return site.mul(dy, site.add(share, site.mul(u, density)));
    },
  ];
};

/** x^p: the exponent may be of another element type, and 0 and negative bases have no logarithm. */
const power: GradientRule = (site) => {
  const { g, dy, x, y } = site;
  const [base, exponent] = x as [string, string];
  const dtype = site.dtypeOf(base);
  const constant = g.constantOf(exponent);
  const fixed = constant?.dims.length === 0 ? numbersOf(constant)[0]! : undefined;
  return [
    () => {
      if (fixed === 1) return dy;
      if (fixed === 2) return site.mul(dy, site.mul(site.number(2), base));
      const p = site.dtypeOf(exponent) === dtype ? exponent : cast(g, exponent, dtype);
      const slope = site.mul(p, g.op('Pow', [base, site.sub(p, site.number(1))]));
      // 0 · 0⁻¹ is NaN, but x⁰ is 1 everywhere.
      const flat = g.op('Equal', [p, site.number(0)]);
      return site.mul(dy, g.op('Where', [flat, site.number(0), slope]));
    },
    () => {
      const hasLog = g.op('Greater', [base, site.number(0)]);
      const log = g.op('Log', [g.op('Where', [hasLog, base, site.number(1)])]);
      return site.mul(dy, site.mul(y[0]!, log));
    },
  ];
};

const nothing: GradientRule = () => [];

export const elementwiseGradients: GradientRules = {
  Add: ({ dy }) => [() => dy, () => dy],
  Sub: (site) => [() => site.dy, () => site.neg(site.dy)],
  Mul: (site) => [() => site.mul(site.dy, site.x[1]!), () => site.mul(site.dy, site.x[0]!)],
  Div: (site) => [
    () => site.div(site.dy, site.x[1]!),
    () => site.neg(site.mul(site.dy, site.div(site.y[0]!, site.x[1]!))),
  ],
  Pow: power,
  Sum: (site) => site.x.map(() => () => site.dy),
  Mean: (site) => site.x.map(() => () => site.mul(site.dy, site.number(1 / site.x.length))),
  Max: extreme,
  Min: extreme,

  Identity: ({ dy }) => [() => dy],
  Neg: (site) => [() => site.neg(site.dy)],
  Abs: unary(({ g, x }) => g.op('Sign', [x[0]!])),
  Exp: unary(({ y }) => y[0]!),
  Log: (site) => [() => site.div(site.dy, site.x[0]!)],
  Sqrt: (site) => [() => site.div(site.mul(site.dy, site.number(0.5)), site.y[0]!)],
  Reciprocal: (site) => [() => site.neg(site.mul(site.dy, square(site, site.y[0]!)))],
  Sin: unary(({ g, x }) => g.op('Cos', [x[0]!])),
  Cos: unary((site) => site.neg(site.g.op('Sin', [site.x[0]!]))),
  Erf: unary((site) => {
    const bell = site.g.op('Exp', [site.neg(square(site, site.x[0]!))]);
    return site.mul(site.number(2 / Math.sqrt(Math.PI)), bell);
  }),
  // Flat wherever they are differentiable.
  Sign: nothing,
  Floor: nothing,
  Ceil: nothing,
  Round: nothing,

  Relu: (site) => [() => site.mul(site.dy, site.mask(site.g.op('Greater', [site.y[0]!, site.number(0)])))],
  LeakyRelu: twoSided((site) => attribute(site, 'alpha', 0.01)),
  PRelu: (site) => {
    const { g, dy, x } = site;
    const positive = () => g.op('Greater', [x[0]!, site.number(0)]);
    return [
      () => g.op('Where', [positive(), dy, site.mul(dy, x[1]!)]),
      () => g.op('Where', [positive(), site.number(0), site.mul(dy, x[0]!)]),
    ];
  },
  Elu: twoSided((site) => site.add(site.y[0]!, attribute(site, 'alpha', 1))),
  Selu: (site) => [
    () => {
      const { g, dy, x, y } = site;
      // Constants of Klambauer et al., arXiv:1706.02515, to the digits that ONNX gives as defaults.
      const alpha = numberAttribute(site.node, 'alpha', 1.6732632423543772);
      const gamma = numberAttribute(site.node, 'gamma', 1.0507009873554805);
      const positive = g.op('Greater', [x[0]!, site.number(0)]);
      const negative = site.add(y[0]!, site.number(alpha * gamma));
      return site.mul(dy, g.op('Where', [positive, site.number(gamma), negative]));
    },
  ],
  Sigmoid: unary((site) => site.mul(site.y[0]!, site.sub(site.number(1), site.y[0]!))),
  HardSigmoid: (site) => [
    () => {
      const { g, y } = site;
      const inside = g.op('And', [
        g.op('Greater', [y[0]!, site.number(0)]),
        g.op('Less', [y[0]!, site.number(1)]),
      ]);
      return site.where(inside, site.mul(site.dy, attribute(site, 'alpha', 0.2)));
    },
  ],
  Tanh: unary((site) => oneMinusSquare(site, site.y[0]!)),
  Softplus: unary(({ g, x }) => g.op('Sigmoid', [x[0]!])),
  Softsign: (site) => [
    () => {
      const { g, dy, x } = site;
      return site.div(dy, square(site, site.add(site.number(1), g.op('Abs', [x[0]!]))));
    },
  ],
  Gelu: gelu,

  Clip: (site) => {
    const { g, dy, x } = site;
    const below = () => g.op('Less', [x[0]!, x[1]!]);
    const above = () => g.op('Greater', [x[0]!, x[2]!]);
    return [
      () => {
        const outside = [...(site.has(1) ? [below()] : []), ...(site.has(2) ? [above()] : [])];
        if (outside.length === 0) return dy;
        return site.where(g.op('Not', [outside.reduce((a, b) => g.op('Or', [a, b]))]), dy);
      },
      // An upper bound below the lower one wins (ONNX: min(max(x, low), high)).
      () =>
        site.where(site.has(2) ? g.op('And', [below(), g.op('LessOrEqual', [x[1]!, x[2]!])]) : below(), dy),
      () => site.where(g.op('Greater', [site.has(1) ? g.op('Max', [x[0]!, x[1]!]) : x[0]!, x[2]!]), dy),
    ];
  },
  Where: (site) => {
    const { g, dy, x } = site;
    return [undefined, () => site.where(x[0]!, dy), () => site.where(g.op('Not', [x[0]!]), dy)];
  },
  Cast: (site) => [() => cast(site.g, site.dy, site.dtypeOf(site.x[0]!))],
  CastLike: (site) => [() => cast(site.g, site.dy, site.dtypeOf(site.x[0]!))],
  Dropout: (site) => {
    // Its random numbers start anew with each session: training puts masks of its own in the operator's place.
    if (site.has(2)) site.refuse('dropout in training mode must be replaced by a mask before');
    return [() => site.dy];
  },
};
