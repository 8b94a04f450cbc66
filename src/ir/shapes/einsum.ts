import { stringAttribute, type Dim } from '../graph.js';
import { typed, type ShapeRules, type Site } from './rule.js';

/** Labels of each input's axes and of the output's; undefined for an equation with an ellipsis. */
export function einsumTerms(site: Site): { inputs: string[]; output: string } | undefined {
  const equation = stringAttribute(site.node, 'equation', '').replaceAll(' ', '');
  if (equation.includes('.')) return undefined;
  const [left, right] = equation.split('->') as [string, string | undefined];
  const all = left.replaceAll(',', '');
  // Without an arrow: the labels that occur once, in alphabetical order.
  const once = all.split('').filter((label) => all.indexOf(label) === all.lastIndexOf(label));
  return { inputs: left.split(','), output: right ?? once.sort().join('') };
}

export const einsum: ShapeRules = {
  Einsum: (site) => {
    const terms = einsumTerms(site);
    const sizes = new Map<string, Dim>();
    terms?.inputs.forEach((labels, index) => {
      labels.split('').forEach((label, axis) => {
        const dim = site.shape(index)?.[axis];
        const known = sizes.get(label);
        if (dim !== undefined && (typeof known !== 'number' || known === 1)) sizes.set(label, dim);
      });
    });
    const output = terms?.output.split('');
    return typed(
      site.dtype(0),
      output?.map((label, axis) => sizes.get(label) ?? site.fresh(axis)),
    );
  },
};
