import type { GraphBuilder } from '../../../../ir/builder.js';
import type { TrainJob } from '../../../../plugin/api.js';
import type { Carried } from './compile-step.js';
import type { Turn } from './turns.js';

/** Behind the name of a parameter. */
const suffix = '.average';

/** The first update is the average so far, as in Keras and in PyTorch's AveragedModel. */
export function averageScalars(
  { decay }: NonNullable<TrainJob['ema']>,
  { update }: Turn,
): { averageDecay: number } {
  return { averageDecay: update === 1 ? 0 : decay };
}

/** Emits average·decay + weight·(1 − decay) into `b`. @param next The weight after its update. */
export function carryAverage(
  g: GraphBuilder,
  b: GraphBuilder,
  weight: Pick<Carried, 'input' | 'dims' | 'initial'>,
  next: string,
  scalars: Readonly<Record<string, string>>,
): Carried {
  const input = g.input(averageName(weight.input), 'float32', weight.dims);
  return { ...weight, input, output: emitAverage(b, input, next, scalars) };
}

/** Emits the average after a step. */
export function emitAverage(
  b: GraphBuilder,
  average: string,
  next: string,
  scalars: Readonly<Record<string, string>>,
): string {
  const decay = scalars['averageDecay']!;
  const rest = b.op('Sub', [b.scalar(1), decay]);
  return b.op('Add', [b.op('Mul', [average, decay]), b.op('Mul', [next, rest])]);
}

/** The name under which the average of a parameter is carried. */
export function averageName(parameter: string): string {
  return `${parameter}${suffix}`;
}

/** What is carried as the average of a parameter, if there is one. */
export function averageOf(carried: readonly Carried[], parameter: string): string | undefined {
  return carried.find(({ input }) => input === averageName(parameter))?.input;
}
