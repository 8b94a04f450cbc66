import type { GraphBuilder } from '../../../../ir/builder.js';
import { attr } from '../../../../ir/graph.js';
import { allocate, sizeOf } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
import type { Carried } from './compile-step.js';
import type { Turn } from './turns.js';

/** Whether several batches make an update together. */
export function gathers({ accumulate = 1 }: Pick<TrainJob, 'accumulate'>): boolean {
  return accumulate > 1;
}

export function gatherScalars({ goesOn, share, ends }: Turn): Record<'goesOn' | 'share' | 'ends', number> {
  return { goesOn: Number(goesOn), share, ends: Number(ends) };
}

const toBool = { to: attr.int(9) };

/**
 * Adds gradients up over the batches of an update, each by its share of the rows, and moves what is carried only where
 * it ends: an If, so that the batches before cost no update.
 * @param gradients By parameter.
 * @param emitUpdates Emits the update for the gathered gradients.
 */
export function gatherGradients(
  g: GraphBuilder,
  gradients: ReadonlyMap<string, string>,
  scalars: Readonly<Record<string, string>>,
  emitUpdates: (b: GraphBuilder, gathered: ReadonlyMap<string, string>) => Carried[],
): Carried[] {
  const sums = [...gradients].map(([parameter, gradient]) => {
    const dims = g.shapeOf(parameter).map(Number);
    const input = g.input(g.unique(`${parameter}.gathered`), 'float32', dims);
    const before = g.op('Mul', [input, scalars['goesOn']!]);
    const output = g.op('Add', [before, g.op('Mul', [gradient, scalars['share']!])]);
    const initial = () => ({ dtype: 'float32' as const, dims, data: allocate('float32', sizeOf(dims)) });
    return { parameter, carried: { input, output, dims, fill: 0, initial } satisfies Carried };
  });
  const move = g.inner('move');
  const moved = emitUpdates(move, new Map(sums.map(({ parameter, carried }) => [parameter, carried.output])));
  for (const { output } of moved) move.output(output);
  const wait = g.inner('wait');
  for (const { input } of moved) wait.output(wait.op('Identity', [input]));
  const outputs = g.ops(
    'If',
    [g.op('Cast', [scalars['ends']!], toBool)],
    { then_branch: attr.graph(move.build()), else_branch: attr.graph(wait.build()) },
    { outputs: moved.length },
  );
  return [
    ...moved.map((each, at) => ({ ...each, output: outputs[at]! })),
    ...sums.map(({ carried }) => carried),
  ];
}
