import type { Model, Node } from '../../../ir/graph.js';
import { convertOpset } from '../../../ir/opset/convert.js';
import { liftConstants } from '../../../ir/rewrite.js';
import { definePass, type PassContext, type PassReport } from '../../../plugin/api.js';
import type { Feeds } from '../../../runtime/session.js';
import { foldBatchNorms } from './fold-batch-norm.js';
import { labelOf } from './dense-layer.js';
import { calibrate } from './quantize/calibrate.js';
import { chooseLayers, describeWeights, eachUnit, refuseSize, rewrite } from './quantize/choose-layers.js';
import { findConvolutions, quantizeConvolutions, type Convolutions } from './quantize/convolutions.js';
import { correctBiases } from './quantize/correct-bias.js';
import { createDynamicEmitter } from './quantize/dynamic.js';
import type { QuantizedLayer } from './quantize/layer.js';
import { quantizeOptions, type QuantizeOptions } from './quantize/options.js';
import type { Range } from './quantize/ranges.js';
import { roundWeights } from './quantize/round-weights.js';
import { createStaticEmitter } from './quantize/static.js';
import { createUnpackedEmitter, createWeightsEmitter } from './quantize/weights.js';
import { quantizeMatrix, type QuantizedMatrix } from './quantize-matrix.js';

/** Rewrites layers y = x · W + b, and in mode static convolutions, into integer arithmetic; `quantize/` has a file for each mode. */
export const quantizePass = definePass<QuantizeOptions>({
  name: 'quantize',
  summary:
    'Store the weights of dense layers and convolutions as integers of 8 or 4 bits, and compute with integers.',
  options: quantizeOptions,
  version: 5,
  async run(given, settings, context) {
    const { model: raised, notes } = raiseOpset(given, settings);
    const reduceRange = settings.reduceRange ?? context.target === 'avx2';
    const { model, report } = await quantize(raised, { ...settings, reduceRange }, context);
    const all = [...notes, ...(report.notes ?? [])];
    const told = all.length > 0 ? { ...report, notes: all } : report;
    return { model: report.changed ? model : given, report: told };
  },
});

/** The operator sets that have what a mode writes: scales for each channel, and ranges of a batch. */
const wantedOpset = { static: 13, dynamic: 11, weights: 1 };
/** The one that brought integers of 4 bits. */
const halfBytes = 21;

/** An old model in an operator set that it can be quantized in, or in the last one that its nodes allow. */
function raiseOpset(given: Model, settings: QuantizeOptions): { model: Model; notes: string[] } {
  const from = given.opsets[''] ?? 0;
  const wanted = unpacksHalfBytes(settings) ? halfBytes : wantedOpset[settings.mode];
  const { model, version, stopped } = convertOpset(given, wanted);
  const notes = version > from ? [`operator set ${from} → ${version}`] : [];
  for (const { node, reason } of stopped) {
    notes.push(`${node} does not go into operator set ${version + 1}: ${reason}`);
  }
  return { model, notes };
}

function unpacksHalfBytes({ mode, bits, unpack }: QuantizeOptions): boolean {
  return mode === 'weights' && bits === 4 && unpack === 'load';
}

async function quantize(
  given: Model,
  settings: QuantizeOptions,
  context: PassContext,
): Promise<{ model: Model; report: PassReport }> {
  const model: Model = { ...given, graph: liftConstants(given.graph) };
  if (settings.mode === 'weights') return quantizeWeights(given, model, settings, context);
  if (settings.mode === 'static') return quantizeStatic(given, model, settings, context);
  const { perChannel, reduceRange } = settings;
  const largest = reduceRange ? 63 : 127;
  const found = await chooseLayers(
    model,
    settings,
    eachUnit((weights, { rows, columns, transposed }) =>
      quantizeMatrix(weights, { rows, columns, transposed, perChannel, largest }),
    ),
  );
  return rewrite(given, model, found, createDynamicEmitter(model.graph), ({ layer, matrix }) =>
    describeWeights('int8', layer, matrix),
  );
}

async function quantizeWeights(
  given: Model,
  model: Model,
  settings: QuantizeOptions,
  context: PassContext,
): Promise<{ model: Model; report: PassReport }> {
  const opset = model.opsets[''] ?? 0;
  if (unpacksHalfBytes(settings) && opset < halfBytes) {
    const reason = `operator set ${opset} is older than ${halfBytes}, which 4 bits need with unpack: load`;
    return {
      model: given,
      report: { changed: false, skipped: [{ node: given.graph.name || 'the model', reason }] },
    };
  }
  const notes: string[] = [];
  const round = roundWeights(model, settings, context, (note) => notes.push(note));
  const found = await chooseLayers(model, settings, round);
  const emit =
    settings.unpack === 'load'
      ? createUnpackedEmitter(model.graph, settings)
      : createWeightsEmitter(model.graph, settings);
  const made = rewrite(given, model, found, emit, ({ layer, matrix }) =>
    describeWeights(`int${settings.bits}`, layer, matrix),
  );
  return { model: made.model, report: { ...made.report, ...(notes.length > 0 && { notes }) } };
}

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
  const { values } = convolutions;
  const rows = async () => context.calibration(calibration.samples);
  const spread =
    convolutions.chosen.size > 0 ? await calibrate(folded, values, await rows(), calibration) : undefined;
  const misfit = values
    .map((name) => describeMisfit(spread?.get(name)))
    .find((reason) => reason !== undefined);
  const convolves = convolutions.chosen.size > 0 && misfit === undefined;
  const before = convolves
    ? await quantizeConvolutions(
        ...(await correctConvolutions(folded, convolutions, settings, rows)),
        spread!,
      )
    : lifted;

  const found = await chooseLayers(
    before,
    settings,
    eachUnit((weights, { rows: inputs, columns, transposed }) =>
      quantizeMatrix(weights, { rows: inputs, columns, transposed, perChannel, largest }),
    ),
  );
  const ranges = await findRanges(before, found.chosen, settings, context);
  for (const [node, { layer }] of found.chosen) {
    const reason = describeMisfit(ranges.get(layer.input));
    if (reason === undefined) continue;
    found.chosen.delete(node);
    found.skipped.push({ node: labelOf(node), reason });
  }
  const corrected = await correctDense(before, found.chosen, settings, rows);
  const dense = rewrite(
    convolves ? before : given,
    corrected.model,
    { ...found, chosen: corrected.chosen },
    createStaticEmitter(corrected.model.graph, ranges),
    ({ layer, matrix }) => {
      const { low, high } = ranges.get(layer.input)!;
      const [from, to] = [low, high].map((bound) => Number(bound.toPrecision(3)));
      return `${describeWeights('int8', layer, matrix)}, input ${from} to ${to}`;
    },
  );
  const convolved = [...convolutions.chosen].map(([node, matrix]) => ({ node: labelOf(node), matrix }));
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

type ReadRows = () => Promise<readonly Feeds[]>;

/** Convolutions whose biases take back what rounding their weights adds. */
async function correctConvolutions(
  model: Model,
  convolutions: Convolutions,
  { biasCorrection }: QuantizeOptions,
  rows: ReadRows,
): Promise<[Model, Convolutions]> {
  if (!biasCorrection) return [model, convolutions];
  const { model: extended, biases } = await correctBiases(model, convolutions.chosen, await rows());
  const nodes = new Map(
    [...biases].map(([node, bias]) => [node, { ...node, inputs: [...node.inputs.slice(0, 2), bias] }]),
  );
  const current = (node: Node): Node => nodes.get(node) ?? node;
  const graph = { ...extended.graph, nodes: extended.graph.nodes.map(current) };
  const chosen = new Map([...convolutions.chosen].map(([node, matrix]) => [current(node), matrix]));
  return [
    { ...extended, graph },
    { ...convolutions, chosen },
  ];
}

/** The same for dense layers, whose emitter writes the new biases. */
async function correctDense(
  model: Model,
  chosen: ReadonlyMap<Node, QuantizedLayer<QuantizedMatrix>>,
  { biasCorrection }: QuantizeOptions,
  rows: ReadRows,
): Promise<{ model: Model; chosen: Map<Node, QuantizedLayer<QuantizedMatrix>> }> {
  if (!biasCorrection || chosen.size === 0) return { model, chosen: new Map(chosen) };
  const matrices = new Map([...chosen].map(([node, { matrix }]) => [node, matrix]));
  const { model: extended, biases } = await correctBiases(model, matrices, await rows());
  const layers = [...chosen].map(([node, { layer, matrix }]) => {
    const bias = biases.get(node) ?? layer.bias;
    return [node, { layer: { ...layer, bias }, matrix }] as const;
  });
  return { model: extended, chosen: new Map(layers) };
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
