import type { Table } from './dataset.js';
import type { Port, Signature, TargetFacts } from './signature.js';

/** A target of a model, and the outputs that say something of it. */
export interface Head extends TargetFacts {
  /** Of classes: the output with the label of each row, string [N]. */
  readonly label?: string;
  /** The output with probabilities, float32 [N, classes], or with amounts, float32 [N]. */
  readonly values: string;
}

type Targets = Pick<Signature, 'task' | 'target' | 'others'>;

/**
 * The targets of a model, the main one first. Outputs of a model with one target are `label` and `probabilities`, or
 * `prediction`; of several targets each has its name before them, as in `species.label`.
 */
export function headsOf({ task, target, others = [] }: Targets): readonly [Head, ...Head[]] {
  const isMany = others.length > 0;
  const headOf = (facts: TargetFacts): Head => {
    const port = (name: string): string => (isMany ? `${facts.name}.${name}` : name);
    return facts.task === 'regression'
      ? { ...facts, values: port('prediction') }
      : { ...facts, label: port('label'), values: port('probabilities') };
  };
  return [headOf({ task, ...target }), ...others.map(headOf)];
}

export function portsOf(head: Head): Port[] {
  const { label, values, labels = [] } = head;
  if (label === undefined) return [{ name: values, dtype: 'float32', shape: ['N'] }];
  return [
    { name: label, dtype: 'string', shape: ['N'] },
    { name: values, dtype: 'float32', shape: ['N', labels.length] },
  ];
}

/** What a figure of one of several targets is called: `accuracy of species`. */
export function figureOf(figure: string, target: string): string {
  return `${figure} of ${target}`;
}

/** The figure of one of several targets and the target; undefined for a name that says of none of them. */
export function readFigure(name: string, signature: Targets): { figure: string; head: Head } | undefined {
  const heads = headsOf(signature).filter((each) => name.endsWith(figureOf('', each.name)));
  // Of targets whose names end alike the longest is meant.
  const [head] = heads.sort((a, b) => b.name.length - a.name.length);
  return head && { figure: name.slice(0, -figureOf('', head.name).length), head };
}

/** The same rows and model as if it had the one target alone. */
export function onlyHead<Facts extends Targets>(
  signature: Facts,
  { name, task, labels }: TargetFacts,
): Facts {
  return {
    ...signature,
    others: undefined,
    task,
    target: { name, ...(labels && { labels }) },
  };
}

/** The table with the column of that target as its target. */
export function onlyTarget(table: Table, name: string): Table {
  return { ...table, target: table.others?.[name] ?? table.target };
}
