import { z } from 'zod';
import type { Model, Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { liftConstants, removeDead, replaceNodes } from '../../../ir/rewrite.js';
import { valuesOf } from '../../../ir/tensor.js';
import { definePass, type PassContext, type PassReport } from '../../../plugin/api.js';
import { labelOf, readDense, type DenseLayer } from './dense-layer.js';
import { matchesAny } from '../../../config/index.js';
import { calibrate } from './quantize/calibrate.js';
import { createDynamicEmitter } from './quantize/dynamic.js';
import type { EmitLayer, QuantizedLayer } from './quantize/layer.js';
import type { Range } from './quantize/ranges.js';
import { createStaticEmitter } from './quantize/static.js';
import { createWeightsEmitter } from './quantize/weights.js';
import { quantizeMatrix } from './quantize-matrix.js';
import { findConvolutions, quantizeConvolutions } from './quantize/convolutions.js';
import { foldBatchNorms } from './fold-batch-norm.js';
import { quantizeBlocks } from './quantize/blocks.js';

const options = z.strictObject({
  mode: z
    .enum(['static', 'dynamic', 'weights'])
    .default('static')
    .describe(
      'What becomes of activations. static: uint8 in ranges seen on calibration rows. dynamic: uint8 in the range of each batch, so that a row depends on the rows beside it; needs no data. weights: they stay float32, and only weights are stored small; needs no data.',
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
  bits: z
    .literal([4, 8])
    .default(4)
    .describe(
      'weights only: of one weight. 4 is an eighth of float32, and rounds 16 times as coarsely as 8.',
    ),
  block: z
    .literal([16, 32, 64, 128, 256])
    .default(32)
    .describe('weights only: weights that share a scale. Larger is smaller and faster, and less exact.'),
  perChannel: z
    .boolean()
    .default(true)
    .describe('static and dynamic: one scale for each column of a weight matrix. false: one for the whole.'),
  reduceRange: z
    .boolean()
    .default(false)
    .describe('static and dynamic: use 7 of the 8 bits. x86 processors without VNNI may overflow with 8.'),
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
const leastOpset = { static: 10, dynamic: 11, weights: 1 };

/** Rewrites layers y = x · W + b, and in mode static convolutions, into integer arithmetic; `quantize/` has a file for each mode. */
export const quantizePass = definePass<QuantizeOptions>({
  name: 'quantize',
  summary:
    'Store the weights of dense layers and convolutions as integers of 8 or 4 bits, and compute with integers.',
  options,
  version: 3,
  async run(given, settings, context) {
    const model: Model = { ...given, graph: liftConstants(given.graph) };
    if (settings.mode === 'weights') {
      const { bits, block } = settings;
      const found = await chooseLayers(model, settings, (weights, { rows, columns, transposed }) =>
        quantizeBlocks(weights, { rows, columns, transposed, bits, block }),
      );
      return rewrite(given, model, found, createWeightsEmitter(model.graph, settings), ({ layer, matrix }) =>
        describeWeights(`int${bits}`, layer, matrix),
      );
    }
    const { perChannel, reduceRange } = settings;
    const largest = reduceRange ? 63 : 127;
    if (settings.mode === 'static') return quantizeStatic(given, model, settings, context);
    const found = await chooseLayers(model, settings, (weights, { rows, columns, transposed }) =>
      quantizeMatrix(weights, { rows, columns, transposed, perChannel, largest }),
    );
    return rewrite(given, model, found, createDynamicEmitter(model.graph), ({ layer, matrix }) =>
      describeWeights('int8', layer, matrix),
    );
  },
});

/** Convolutions first: their output is rounded, so that the layers behind them are calibrated on what they will get. */
async function quantizeStatic(
  given: Model,
  lifted: Model,
  settings: QuantizeOptions,
  context: PassContext,
): Promise<{ model: Model; report: PassReport }> {
  const { perChannel, reduceRange, calibration } = settings;
  const largest = reduceRange ? 63 : 127;
  const { model: folded } = await foldBatchNorms(lifted);
  const refuse = (node: Node, rows: number, columns: number) => refuseSize(node, rows, columns, settings);
  const convolutions = await findConvolutions(folded, { perChannel, largest, refuse });
  const { chosen, values } = convolutions;
  const spread =
    chosen.size > 0
      ? await calibrate(folded, values, await context.calibration(calibration.samples), calibration)
      : undefined;
  const misfit = values
    .map((name) => describeMisfit(spread?.get(name)))
    .find((reason) => reason !== undefined);
  const convolves = chosen.size > 0 && misfit === undefined;
  const before = convolves ? await quantizeConvolutions(folded, convolutions, spread!) : lifted;

  const found = await chooseLayers(before, settings, (weights, { rows, columns, transposed }) =>
    quantizeMatrix(weights, { rows, columns, transposed, perChannel, largest }),
  );
  const ranges = await findRanges(before, found.chosen, settings, context);
  for (const [node, { layer }] of found.chosen) {
    const reason = describeMisfit(ranges.get(layer.input));
    if (reason === undefined) continue;
    found.chosen.delete(node);
    found.skipped.push({ node: labelOf(node), reason });
  }
  const dense = rewrite(
    convolves ? before : given,
    before,
    found,
    createStaticEmitter(before.graph, ranges),
    ({ layer, matrix }) => {
      const { low, high } = ranges.get(layer.input)!;
      const [from, to] = [low, high].map((bound) => Number(bound.toPrecision(3)));
      return `${describeWeights('int8', layer, matrix)}, input ${from} to ${to}`;
    },
  );
  const convolved = [...chosen].map(([node, matrix]) => ({ node: labelOf(node), matrix }));
  const applied = convolves
    ? convolved.map(({ node, matrix }) => ({
        node,
        note: `int8 convolution, weights keep ${matrix.signalToNoise.toFixed(1)} dB`,
      }))
    : [];
  const left = convolves ? [] : convolved.map(({ node }) => ({ node, reason: misfit! }));
  return {
    model: dense.model,
    report: {
      changed: convolves || dense.report.changed,
      applied: [...applied, ...(dense.report.applied ?? [])],
      skipped: [...convolutions.skipped, ...left, ...dense.report.skipped],
    },
  };
}

interface Found<Matrix> {
  readonly chosen: Map<Node, QuantizedLayer<Matrix>>;
  readonly skipped: { node: string; reason: string }[];
}

/** The layers that can be quantized, and why the others cannot. Layers that share weights share the matrix. */
async function chooseLayers<Matrix>(
  model: Model,
  settings: QuantizeOptions,
  quantize: (weights: Float32Array, layer: DenseLayer) => Matrix | undefined,
): Promise<Found<Matrix>> {
  const found: Found<Matrix> = { chosen: new Map(), skipped: [] };
  const matrices = new Map<string, Matrix>();
  for (const node of model.graph.nodes) {
    const candidate = choose(node, model, settings);
    if (!candidate) continue;
    if ('reason' in candidate) {
      found.skipped.push({ node: labelOf(node), reason: candidate.reason });
      continue;
    }
    const { layer } = candidate;
    const key = `${layer.transposed}:${layer.weight}`;
    let matrix = matrices.get(key);
    if (!matrix) {
      const weights = valuesOf(await loadTensor(model.graph.initializers.get(layer.weight)!));
      matrix = quantize(weights as Float32Array, layer);
    }
    if (!matrix) {
      found.skipped.push({ node: labelOf(node), reason: 'its weights are not finite' });
      continue;
    }
    matrices.set(key, matrix);
    found.chosen.set(node, { layer, matrix });
  }
  return found;
}

/** @param given The model as it came, which stays when no layer is chosen. */
function rewrite<Matrix>(
  given: Model,
  model: Model,
  { chosen, skipped }: Found<Matrix>,
  emit: EmitLayer<Matrix>,
  describe: (chosen: QuantizedLayer<Matrix>) => string,
): { model: Model; report: PassReport } {
  const applied = [...chosen].map(([node, choice]) => ({ node: labelOf(node), note: describe(choice) }));
  const report: PassReport = { changed: chosen.size > 0, applied, skipped };
  if (chosen.size === 0) return { model: given, report };
  const graph = removeDead(
    replaceNodes(model.graph, (node) => {
      const choice = chosen.get(node);
      return choice && emit(node, choice);
    }),
  );
  const isExtended = graph.nodes.some(({ domain }) => domain === 'com.microsoft');
  const opsets = isExtended ? { ...model.opsets, 'com.microsoft': 1 } : model.opsets;
  return { model: { ...model, opsets, graph }, report };
}

async function findRanges(
  model: Model,
  chosen: ReadonlyMap<Node, QuantizedLayer<unknown>>,
  { calibration }: QuantizeOptions,
  context: PassContext,
): Promise<Map<string, Range>> {
  const inputs = new Set([...chosen.values()].map(({ layer }) => layer.input));
  return inputs.size > 0
    ? calibrate(model, [...inputs], await context.calibration(calibration.samples), calibration)
    : new Map<string, Range>();
}

/** Why an activation cannot be stored in a fixed range. */
function describeMisfit(range: Range | undefined): string | undefined {
  if (!range) return 'there are no rows to calibrate on';
  const { low, high } = range;
  if (!Number.isFinite(high - low)) return 'its input is not finite on the calibration rows';
  return low === 0 && high === 0 ? 'its input is 0 on all calibration rows' : undefined;
}

function describeWeights(
  type: string,
  { rows, columns }: DenseLayer,
  matrix: { readonly signalToNoise: number },
): string {
  return `${type} ${rows} × ${columns}, weights keep ${matrix.signalToNoise.toFixed(1)} dB`;
}

function choose(node: Node, model: Model, settings: QuantizeOptions): ReturnType<typeof readDense> {
  if (node.op === 'Conv' && node.domain === '' && settings.mode !== 'static') {
    return { reason: `a convolution is slower in mode ${settings.mode}` };
  }
  const found = readDense(node, model);
  if (!found || 'reason' in found) return found;
  const { rows, columns } = found.layer;
  const opset = model.opsets[''] ?? 0;
  const least = leastOpset[settings.mode];
  if (opset < least) return { reason: `operator set ${opset} is older than ${least}` };
  if (model.graph.initializers.has(found.layer.input)) return { reason: 'its input is constant' };
  const reason = refuseSize(node, rows, columns, settings);
  return reason === undefined ? found : { reason };
}

function refuseSize(
  node: Node,
  rows: number,
  columns: number,
  settings: QuantizeOptions,
): string | undefined {
  if (matchesAny(labelOf(node), settings.exclude)) return 'excluded';
  if (rows * columns < settings.minElements) {
    return `${rows} × ${columns} weights are fewer than minElements (${settings.minElements})`;
  }
  return rows > maxRows ? `${rows} products could overflow 32 bits` : undefined;
}
