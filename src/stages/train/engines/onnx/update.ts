import type { GraphBuilder } from '../../../../ir/builder.js';
import { attr } from '../../../../ir/graph.js';
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

/**
 * Emits the update of a weight. One that is kept in parts is updated part by part, as the body of a Scan: each operator
 * of the update goes over all of its operands, and only what is small is still in the cache for the next.
 */
export function emitUpdate(
  g: GraphBuilder,
  update: Update,
  { optimizer, options }: { readonly optimizer: Optimizer; readonly options: OptimizerOptions },
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
