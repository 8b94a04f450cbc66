import type { Model } from '../../../../ir/graph.js';
import type { PassContext } from '../../../../plugin/api.js';
import { giveWay } from '../../../../runtime/give-way.js';
import { mostHeld, observeGrams, type Observed } from '../observe.js';
import { quantizeBlocks, type BlockLayout, type BlockMatrix } from './blocks.js';
import { eachUnit, type QuantizeUnits, type Unit } from './choose-layers.js';
import { quantizeByInputs } from './gptq.js';
import { quantizeHalfQuadratic } from './hqq.js';
import type { QuantizeOptions } from './options.js';

/** @param note Is told what is done otherwise than asked. */
export function roundWeights(
  model: Model,
  settings: QuantizeOptions,
  context: PassContext,
  note: (text: string) => void,
): QuantizeUnits<BlockMatrix> {
  const { bits, block, algorithm } = settings;
  if (algorithm !== 'gptq') {
    const quantize = algorithm === 'hqq' ? quantizeHalfQuadratic : quantizeBlocks;
    return eachUnit((weights, { rows, columns, transposed }) =>
      quantize(weights, { rows, columns, transposed, bits, block }),
    );
  }
  return async function* (units) {
    const batches = units.length > 0 ? await context.calibration(settings.calibration.samples) : [];
    if (units.length > 0 && batches.length === 0) {
      note('there are no rows for gptq: weights are rounded to the nearest');
    }
    for (const part of partsOf(units)) {
      const grams = await observeGrams(model, inputsOf(part), batches, context);
      for (const unit of part) {
        await giveWay(context.signal);
        const [node, { rows, columns, transposed }] = unit.layers[0]!;
        const layout: BlockLayout = { rows, columns, transposed, bits, block };
        const weights = await unit.read();
        const gram = sumOf(unit.layers.flatMap(([, { input }]) => grams.get(input) ?? []));
        const rounded = gram && quantizeByInputs(weights, gram, layout, settings.gptq);
        const matrix = rounded ?? quantizeBlocks(weights, layout);
        if (gram && !rounded && matrix) {
          note(`the inputs of ${node.name} tell nothing to gptq: its weights are rounded to the nearest`);
        }
        yield [unit, matrix];
      }
    }
  };
}

/** Neighbours whose Hessians fit into memory side by side. */
function* partsOf(units: readonly Unit[]): Generator<Unit[]> {
  let part: Unit[] = [];
  for (const unit of units) {
    const size = inputsOf([...part, unit]).reduce((sum, { channels }) => sum + channels ** 2, 0);
    if (part.length > 0 && size > mostHeld) {
      yield part;
      part = [];
    }
    part.push(unit);
  }
  if (part.length > 0) yield part;
}

function inputsOf(units: readonly Unit[]): Observed[] {
  const inputs = new Map<string, Observed>();
  for (const { layers } of units) {
    for (const [, { input, rows }] of layers) inputs.set(input, { name: input, channels: rows });
  }
  return [...inputs.values()];
}

function sumOf(grams: readonly Float64Array[]): Float64Array | undefined {
  const [first, ...others] = grams;
  return others.length === 0
    ? first
    : first!.map((value, at) => others.reduce((sum, other) => sum + other[at]!, value));
}
