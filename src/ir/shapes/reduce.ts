import { numberAttribute, type Dim } from '../graph.js';
import { fromFront, typed, type ShapeRule, type ShapeRules, type Site } from './rule.js';

function reduced(site: Site): Dim[] | undefined {
  const shape = site.shape(0);
  if (!shape) return undefined;
  const keep = numberAttribute(site.node, 'keepdims', 1) === 1;
  const axes = site.axes(1);
  if (axes === 'unknown') return keep ? site.freshShape(shape.length) : undefined;
  if (!axes || axes.length === 0) {
    if (numberAttribute(site.node, 'noop_with_empty_axes', 0) === 1) return [...shape];
    return keep ? shape.map(() => 1) : [];
  }
  const gone = new Set(axes.map((axis) => fromFront(axis, shape.length)));
  return shape.flatMap((dim, axis) => (gone.has(axis) ? (keep ? [1] : []) : [dim]));
}

const reduce: ShapeRule = (site) => typed(site.dtype(0), reduced(site));

const argument: ShapeRule = (site) => {
  const shape = site.shape(0);
  const axis = shape && fromFront(numberAttribute(site.node, 'axis', 0), shape.length);
  const keep = numberAttribute(site.node, 'keepdims', 1) === 1;
  return typed(
    'int64',
    shape?.flatMap((dim, index) => (index === axis ? (keep ? [1] : []) : [dim])),
  );
};

const everyReduction = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'Sum', 'SumSquare'];

export const reductions: ShapeRules = {
  ...Object.fromEntries(everyReduction.map((name) => [`Reduce${name}`, reduce])),
  ArgMax: argument,
  ArgMin: argument,
  TopK: (site) => {
    const shape = site.shape(0);
    const count = site.numbers(1)?.[0] ?? (site.has(1) ? undefined : numberAttribute(site.node, 'k', 1));
    const axis = shape && fromFront(numberAttribute(site.node, 'axis', -1), shape.length);
    const top = shape?.map((dim, index) => (index === axis ? (count ?? site.fresh(index)) : dim));
    return [...typed(site.dtype(0), top), ...typed('int64', top)];
  },
};
