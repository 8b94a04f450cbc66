import { numberAttribute } from '../graph.js';
import { gelu } from './elementwise.js';
import type { GradientRule, GradientRules, GradientSite } from './rule.js';

const unary =
  (slope: (site: GradientSite, x: string, y: string) => string): GradientRule =>
  (site) => [() => site.mul(site.dy, slope(site, site.x[0]!, site.y[0]!))];

const square = (site: GradientSite, name: string) => site.mul(name, name);
const reciprocal = (site: GradientSite, name: string) => site.g.op('Reciprocal', [name]);
const root = (site: GradientSite, name: string) => site.g.op('Sqrt', [name]);
const one = (site: GradientSite) => site.number(1);

/** σ(αx)·(1 + αx·(1 − σ(αx))), of x·σ(αx) (Ramachandran et al., arXiv:1710.05941). */
function swishSlope(site: GradientSite, x: string, alpha: number): string {
  const scaled = alpha === 1 ? x : site.mul(x, site.number(alpha));
  const gate = site.g.op('Sigmoid', [scaled]);
  return site.mul(gate, site.add(one(site), site.mul(scaled, site.sub(one(site), gate))));
}

export const activationGradients: GradientRules = {
  Celu: unary((site, x, y) => {
    const alpha = numberAttribute(site.node, 'alpha', 1);
    const below = site.add(site.mul(y, site.number(1 / alpha)), one(site));
    return site.g.op('Where', [site.g.op('Greater', [x, site.number(0)]), one(site), below]);
  }),
  // x · min(max(x/6 + ½, 0), 1)
  HardSwish: unary((site, x) => {
    const { g } = site;
    const inside = site.add(site.mul(x, site.number(1 / 3)), site.number(0.5));
    const upper = g.op('Where', [g.op('Less', [x, site.number(3)]), inside, one(site)]);
    return g.op('Where', [g.op('Greater', [x, site.number(-3)]), upper, site.number(0)]);
  }),
  // x · tanh(softplus(x)) (Misra, arXiv:1908.08681)
  Mish: unary((site, x) => {
    const t = site.g.op('Tanh', [site.g.op('Softplus', [x])]);
    const rise = site.mul(site.sub(one(site), square(site, t)), site.g.op('Sigmoid', [x]));
    return site.add(t, site.mul(x, rise));
  }),
  Swish: unary((site, x) => swishSlope(site, x, numberAttribute(site.node, 'alpha', 1))),
  'com.microsoft:QuickGelu': unary((site, x) =>
    swishSlope(site, x, numberAttribute(site.node, 'alpha', 1.702)),
  ),
  'com.microsoft:Gelu': gelu,
  ThresholdedRelu: (site) => [
    () => {
      const threshold = site.number(numberAttribute(site.node, 'alpha', 1));
      return site.where(site.g.op('Greater', [site.x[0]!, threshold]), site.dy);
    },
  ],
  Shrink: (site) => [
    () => {
      const { g, x } = site;
      const width = site.number(numberAttribute(site.node, 'lambd', 0.5));
      return site.where(g.op('Greater', [g.op('Abs', [x[0]!]), width]), site.dy);
    },
  ],

  Tan: unary((site, _, y) => site.add(one(site), square(site, y))),
  Sinh: unary((site, x) => site.g.op('Cosh', [x])),
  Cosh: unary((site, x) => site.g.op('Sinh', [x])),
  Asin: unary((site, x) => reciprocal(site, root(site, site.sub(one(site), square(site, x))))),
  Acos: unary((site, x) => site.neg(reciprocal(site, root(site, site.sub(one(site), square(site, x)))))),
  Atan: unary((site, x) => reciprocal(site, site.add(one(site), square(site, x)))),
  Asinh: unary((site, x) => reciprocal(site, root(site, site.add(square(site, x), one(site))))),
  Acosh: unary((site, x) => reciprocal(site, root(site, site.sub(square(site, x), one(site))))),
  Atanh: unary((site, x) => reciprocal(site, site.sub(one(site), square(site, x)))),
};
