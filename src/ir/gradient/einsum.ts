import { attr } from '../graph.js';
import { einsumTerms } from '../shapes/einsum.js';
import type { GradientRule, GradientRules } from './rule.js';

/**
 * The gradient of one factor is the product of dY with the others, its labels as the output; an axis that nothing
 * else has was summed over, and is repeated.
 */
const einsum: GradientRule = (site) => {
  const { g, dy, x } = site;
  const terms = einsumTerms(site);
  if (!terms) return site.refuse('its equation has an ellipsis');
  if ([...terms.inputs, terms.output].some((labels) => new Set(labels).size !== labels.length)) {
    return site.refuse('its equation takes a diagonal');
  }
  return x.map((name, index) => () => {
    const others = terms.inputs.filter((_, other) => other !== index);
    const labels = terms.inputs[index]!.split('');
    const present = labels.filter((label) => [terms.output, ...others].some((term) => term.includes(label)));
    const equation = `${[terms.output, ...others].join(',')}->${present.join('')}`;
    const factors = [dy, ...x.filter((_, other) => other !== index)];
    const product = g.op('Einsum', factors, { equation: attr.string(equation) });
    const missing = labels.flatMap((label, axis) => (present.includes(label) ? [] : [axis]));
    if (missing.length === 0) return product;
    return g.op('Expand', [g.op('Unsqueeze', [product, g.int64s(missing)]), g.op('Shape', [name])]);
  });
};

export const einsumGradients: GradientRules = { Einsum: einsum };
