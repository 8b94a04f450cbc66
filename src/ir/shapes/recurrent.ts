import { numberAttribute, stringAttribute, type Dim, type ValueType } from '../graph.js';
import type { ShapeRule, ShapeRules, Site } from './rule.js';

/** Y [steps, directions, N, units], then the last states [directions, N, units]. */
const recurrent: ShapeRule = (site) => {
  const dtype = site.dtype(0);
  const [x, r] = [site.shape(0), site.shape(2)];
  if (!dtype) return [];
  const units: Dim | undefined = hiddenSize(site) ?? r?.[2];
  if (x?.length !== 3 || units === undefined) return [{ dtype, shape: undefined }];
  const directions = stringAttribute(site.node, 'direction', 'forward') === 'bidirectional' ? 2 : 1;
  const rowsFirst = numberAttribute(site.node, 'layout', 0) === 1;
  const [steps, rows] = rowsFirst ? [x[1]!, x[0]!] : [x[0]!, x[1]!];
  const last: ValueType = {
    dtype,
    shape: rowsFirst ? [rows, directions, units] : [directions, rows, units],
  };
  const all = rowsFirst ? [rows, steps, directions, units] : [steps, directions, rows, units];
  return [{ dtype, shape: all }, last, last];
};

function hiddenSize(site: Site): number | undefined {
  const size = numberAttribute(site.node, 'hidden_size', 0);
  return size > 0 ? size : undefined;
}

export const recurrence: ShapeRules = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
