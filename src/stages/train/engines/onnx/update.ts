import type { GraphBuilder } from '../../../../ir/builder.js';
import { attr } from '../../../../ir/graph.js';
import { matchesAny } from '../../../../config/index.js';
import type { Optimizer, OptimizerOptions, Update, Updated } from '../../../../ir/optimizers/optimizer.js';
import { sizeOf } from '../../../../ir/tensor.js';

/** Elements of a part: its weights, slots and gradient stay in a core's cache while the update goes over them. */
const partSize = 2 ** 17;
/** Weights of fewer parts are updated as a whole. */
const fewest = 4;

/**
 * The shape in which a training keeps a weight: heavy ones have an axis of parts before their own,
 * [rows, …] → [parts, rows / parts, …].
 */
export function partedDims(dims: readonly number[]): readonly number[] {
  const [rows = 1, ...rest] = dims;
  const most = Math.floor(Math.min(sizeOf(dims) / partSize, rows));
  if (rest.length === 0 || most < fewest) return dims;
  let parts = most;
  while (rows % parts !== 0) parts--;
  return parts < fewest ? dims : [parts, rows / parts, ...rest];
}

/** Vectors of fewer elements are updated as one: for these, the time of an operator is that of starting it. */
const shortVector = 2 ** 13;

/** Whether an update may be made in one with others: its parameter is a short vector, such as a bias. */
function isShort(g: GraphBuilder, { parameter }: Update): boolean {
  const dims = g.shapeOf(parameter);
  return dims.length === 1 && Number(dims[0]) < shortVector;
}

/** How weights are updated. */
export interface UpdateRule {
  readonly optimizer: Optimizer;
  readonly options: OptimizerOptions;
  /** Patterns of the weights that do not decay. */
  readonly undecayed?: readonly string[];
}

/** The optimizer's options for one weight. */
export function optionsFor({ options, undecayed = [] }: UpdateRule, weight: string): OptimizerOptions {
  return matchesAny(weight, undecayed) ? { ...options, weightDecay: 0 } : options;
}

/**
 * Emits the updates of weights.
 * @param parted Those of weights that are kept in parts.
 * @returns One for each, in their order.
 */
export function emitUpdates(
  g: GraphBuilder,
  updates: readonly Update[],
  rule: UpdateRule,
  parted: ReadonlySet<Update> = new Set(),
): Updated[] {
  const { optimizer, undecayed = [] } = rule;
  const short = updates.filter((update) => !optimizer.looksAtWhole && isShort(g, update));
  const emitted = new Map<Update, Updated>();
  for (const still of [false, true]) {
    const alike = short.filter(({ parameter }) => matchesAny(parameter, undecayed) === still);
    if (alike.length < 2) continue;
    const options = optionsFor(rule, alike[0]!.parameter);
    const together = emitTogether(g, alike, { optimizer, options });
    alike.forEach((update, at) => emitted.set(update, together[at]!));
  }
  return updates.map((update) => {
    const options = optionsFor(rule, update.parameter);
    return emitted.get(update) ?? emitUpdate(g, update, { optimizer, options }, parted.has(update));
  });
}

/** Emits the update of several vectors as that of one, which they are joined to and cut out of again. */
function emitTogether(
  g: GraphBuilder,
  updates: readonly Update[],
  { optimizer, options }: UpdateRule,
): Updated[] {
  const [{ slots, scalars }] = updates as readonly [Update];
  const join = (of: (update: Update) => string) =>
    g.op('Concat', updates.map(of), { axis: attr.int(0) }, { name: 'joined' });
  const sizes = g.int64s(updates.map(({ parameter }) => Number(g.shapeOf(parameter)[0])));
  const cut = (name: string) => g.ops('Split', [name, sizes], {}, { outputs: updates.length, name: 'cut' });
  const keys = Object.keys(slots);
  const next = optimizer.emit(
    g,
    {
      parameter: join(({ parameter }) => parameter),
      gradient: join(({ gradient }) => gradient),
      slots: Object.fromEntries(keys.map((key) => [key, join((update) => update.slots[key]!)])),
      scalars,
    },
    options,
  );
  const parameters = cut(next.parameter);
  const kept = keys.map((key) => [key, cut(next.slots[key]!)] as const);
  return updates.map((_, at) => ({
    parameter: parameters[at]!,
    slots: Object.fromEntries(kept.map(([key, parts]) => [key, parts[at]!])),
  }));
}

/**
 * Emits the update of a weight. One that is kept in parts is updated part by part, as the body of a Scan: each operator
 * of the update goes over all of its operands, and only what is small is still in the cache for the next.
 */
function emitUpdate(
  g: GraphBuilder,
  update: Update,
  { optimizer, options }: UpdateRule,
  parted: boolean,
): Updated {
  if (!parted || optimizer.looksAtWhole) return optimizer.emit(g, update, options);
  const slots = Object.entries(update.slots);
  const part = g.shapeOf(update.parameter).slice(1);
  const body = g.inner('part');
  const input = () => body.input(body.unique('part'), 'float32', part);
  const [parameter, gradient] = [input(), input()];
  const inner = Object.fromEntries(slots.map(([slot]) => [slot, input()]));
  const next = optimizer.emit(body, { ...update, parameter, gradient, slots: inner }, options);
  const outputs = [next.parameter, ...slots.map(([slot]) => next.slots[slot]!)];
  for (const name of outputs) body.output(name);
  const [moved, ...kept] = g.ops(
    'Scan',
    [update.parameter, update.gradient, ...slots.map(([, name]) => name)],
    { body: attr.graph(body.build()), num_scan_inputs: attr.int(2 + slots.length) },
    { outputs: outputs.length },
  );
  return {
    parameter: moved!,
    slots: Object.fromEntries(slots.map(([slot], at) => [slot, kept[at]!])),
  };
}
