import { z } from 'zod';
import type { Model, Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { liftConstants, removeDead, replaceNodes } from '../../../ir/rewrite.js';
import { valuesOf } from '../../../ir/tensor.js';
import { definePass, type PassContext, type PassReport } from '../../../plugin/api.js';
import { labelOf, readDense, type DenseLayer } from './dense-layer.js';
import { matchesAny } from './match-names.js';
import { calibrate } from './quantize/calibrate.js';
import { createDynamicEmitter } from './quantize/dynamic.js';
import type { QuantizedLayer } from './quantize/layer.js';
import type { Range } from './quantize/ranges.js';
import { createStaticEmitter } from './quantize/static.js';
import { quantizeMatrix, type QuantizedMatrix } from './quantize-matrix.js';

const options = z.strictObject({
  mode: z
    .enum(['static', 'dynamic'])
    .default('static')
    .describe(
      'What becomes of activations. static: uint8 in ranges seen on calibration rows. dynamic: uint8 in the range of each batch, so that a row depends on the rows beside it; needs no data.',
    ),
  calibration: z
    .strictObject({
      method: z
        .enum(['minmax', 'mse', 'percentile'])
        .default('minmax')
        .describe(
          'Range of an activation. minmax: all its values. mse: the range with the least squared error. percentile: all but the outermost values.',
        ),
      samples: z
        .int()
        .min(1)
        .default(512)
        .describe('Rows to run, at most: of the validation split, then of the train split.'),
      coverage: z
        .number()
        .gt(0.5)
        .max(1)
        .default(0.9999)
        .describe('percentile only: share of the values that the range covers.'),
    })
    .prefault({})
    .describe('static only: how the ranges of activations are found.'),
  perChannel: z
    .boolean()
    .default(true)
    .describe('One scale for each column of a weight matrix. false: one for the whole matrix.'),
  reduceRange: z
    .boolean()
    .default(false)
    .describe('Use 7 of the 8 bits: x86 processors without VNNI may overflow with 8.'),
  minElements: z
    .int()
    .min(1)
    .default(4096)
    .describe('Smaller matrices stay float32: int8 costs more there than it saves.'),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe('Names of nodes to leave as they are; * stands for any text.'),
});
type QuantizeOptions = z.output<typeof options>;

/** Products of uint8 and int8 add up in 32 bits: more rows than this could overflow. */
const maxRows = Math.floor(2 ** 31 / (255 * 127));
/** The operator sets that brought QuantizeLinear and DynamicQuantizeLinear. */
const leastOpset = { static: 10, dynamic: 11 };

/** Rewrites layers y = x · W + b into integer arithmetic; `quantize/` has a file for each mode. */
export const quantizePass = definePass<QuantizeOptions>({
  name: 'quantize',
  summary: 'Store the weights of dense layers as 8-bit integers, and compute with integers.',
  options,
  version: 2,
  async run(model, settings, context) {
    const lifted: Model = { ...model, graph: liftConstants(model.graph) };
    const chosen = new Map<Node, QuantizedLayer>();
    const matrices = new Map<string, QuantizedMatrix>();
    const skipped: { node: string; reason: string }[] = [];
    for (const node of lifted.graph.nodes) {
      const found = choose(node, lifted, settings);
      if (!found) continue;
      if ('reason' in found) {
        skipped.push({ node: labelOf(node), reason: found.reason });
        continue;
      }
      const { layer } = found;
      const key = `${layer.transposed}:${layer.weight}`;
      const matrix = matrices.get(key) ?? (await quantizeLayer(layer, lifted, settings));
      if (!matrix) {
        skipped.push({ node: labelOf(node), reason: 'its weights are not finite' });
        continue;
      }
      matrices.set(key, matrix);
      chosen.set(node, { layer, matrix });
    }
    const ranges =
      settings.mode === 'static' ? await findRanges(lifted, chosen, settings, context) : undefined;
    if (ranges) {
      for (const [node, { layer }] of chosen) {
        const reason = describeMisfit(ranges.get(layer.input));
        if (reason === undefined) continue;
        chosen.delete(node);
        skipped.push({ node: labelOf(node), reason });
      }
    }
    const applied = [...chosen].map(([node, { layer, matrix }]) => ({
      node: labelOf(node),
      note: describeLayer(layer, matrix, ranges?.get(layer.input)),
    }));
    const report: PassReport = { changed: chosen.size > 0, applied, skipped };
    if (chosen.size === 0) return { model, report };
    const emit = ranges ? createStaticEmitter(lifted.graph, ranges) : createDynamicEmitter(lifted.graph);
    const graph = removeDead(
      replaceNodes(lifted.graph, (node) => {
        const choice = chosen.get(node);
        return choice && emit(node, choice);
      }),
    );
    const opsets = ranges ? { ...model.opsets, 'com.microsoft': 1 } : model.opsets;
    return { model: { ...model, opsets, graph }, report };
  },
});

async function findRanges(
  model: Model,
  chosen: ReadonlyMap<Node, QuantizedLayer>,
  { calibration }: QuantizeOptions,
  context: PassContext,
): Promise<Map<string, Range>> {
  const inputs = new Set([...chosen.values()].map(({ layer }) => layer.input));
  return inputs.size > 0
    ? calibrate(model, [...inputs], await context.calibration(), calibration)
    : new Map<string, Range>();
}

/** Why an activation cannot be stored in a fixed range. */
function describeMisfit(range: Range | undefined): string | undefined {
  if (!range) return 'there are no rows to calibrate on';
  const { low, high } = range;
  if (!Number.isFinite(high - low)) return 'its input is not finite on the calibration rows';
  return low === 0 && high === 0 ? 'its input is 0 on all calibration rows' : undefined;
}

function describeLayer({ rows, columns }: DenseLayer, matrix: QuantizedMatrix, range?: Range): string {
  const weights = `int8 ${rows} × ${columns}, weights keep ${matrix.signalToNoise.toFixed(1)} dB`;
  if (!range) return weights;
  const [low, high] = [range.low, range.high].map((bound) => Number(bound.toPrecision(3)));
  return `${weights}, input ${low} to ${high}`;
}

function choose(node: Node, model: Model, settings: QuantizeOptions): ReturnType<typeof readDense> {
  if (node.op === 'Conv' && node.domain === '') {
    return { reason: 'a convolution is slower with activations quantized as they come' };
  }
  const found = readDense(node, model);
  if (!found || 'reason' in found) return found;
  const { rows, columns } = found.layer;
  const opset = model.opsets[''] ?? 0;
  const least = leastOpset[settings.mode];
  if (opset < least) return { reason: `operator set ${opset} is older than ${least}` };
  if (model.graph.initializers.has(found.layer.input)) return { reason: 'its input is constant' };
  if (matchesAny(labelOf(node), settings.exclude)) return { reason: 'excluded' };
  if (rows * columns < settings.minElements) {
    return { reason: `${rows} × ${columns} weights are fewer than minElements (${settings.minElements})` };
  }
  if (rows > maxRows) return { reason: `${rows} products could overflow 32 bits` };
  return found;
}

/** Weights as int8 [rows, columns]; undefined when they hold NaN or infinities. */
async function quantizeLayer(
  layer: DenseLayer,
  { graph }: Model,
  { perChannel, reduceRange }: QuantizeOptions,
): Promise<QuantizedMatrix | undefined> {
  const weight = valuesOf(await loadTensor(graph.initializers.get(layer.weight)!)) as Float32Array;
  const { rows, columns, transposed } = layer;
  return quantizeMatrix(weight, { rows, columns, transposed, perChannel, largest: reduceRange ? 63 : 127 });
}
