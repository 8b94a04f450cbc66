import type { Model, Node } from '../../../../ir/graph.js';
import type { PassContext, PassReport } from '../../../../plugin/api.js';
import { labelOf } from '../dense-layer.js';
import { foldBatchNorms } from '../fold-batch-norm.js';
import type { Observations, Observed, Observer } from '../observe.js';
import { quantizeMatrix, type QuantizedMatrix } from '../quantize-matrix.js';
import { calibrate, type Calibration } from './calibrate.js';
import { chooseLayers, describeWeights, eachUnit, refuseSize, rewrite, type Found } from './choose-layers.js';
import { findConvolutions, quantizeConvolutions, type Convolutions } from './convolutions.js';
import { correctBiases, inputsToCorrect } from './correct-bias.js';
import type { QuantizedLayer } from './layer.js';
import type { QuantizeOptions } from './options.js';
import type { Range } from './ranges.js';
import { createStaticEmitter } from './static.js';

/** Finds the ranges of values of a model, and the means of others; those that it does not know are left out. */
export type Calibrate = (
  model: Model,
  names: readonly string[],
  observer: Observer & { readonly observed: readonly Observed[] },
) => Promise<Calibration>;

/**
 * Convolutions first: their output is rounded, so that the layers behind them are calibrated on what they will get.
 * @param given The model as it came, which stays when nothing is chosen.
 * @param lifted The same with its constants as initializers.
 * @param look Default: as the settings say, on calibration rows.
 */
export async function quantizeStatic(
  given: Model,
  lifted: Model,
  settings: QuantizeOptions,
  context: PassContext,
  look: Calibrate = calibrated(settings, context),
): Promise<{ model: Model; report: PassReport }> {
  const { model: folded } = await foldBatchNorms(lifted);
  const convolutions = await chooseConvolutions(folded, settings);
  const { values } = convolutions;
  const { signal, memory } = context;
  const toCorrect = (model: Model, nodes: Iterable<Node>): Observed[] =>
    settings.biasCorrection ? inputsToCorrect(model, nodes) : [];
  const seen =
    convolutions.chosen.size > 0
      ? await look(folded, values, {
          signal,
          observed: toCorrect(folded, convolutions.chosen.keys()),
        })
      : undefined;
  const misfit = values
    .map((name) => describeMisfit(seen?.ranges.get(name)))
    .find((reason) => reason !== undefined);
  const convolves = seen !== undefined && misfit === undefined;
  const before = convolves
    ? await quantizeConvolutions(
        ...(await correctConvolutions(folded, convolutions, settings, seen.means)),
        seen.ranges,
      )
    : lifted;

  // Behind rounded convolutions values are other than those of the model that came.
  const observer = convolves ? { signal } : { signal, memory };
  const found = await chooseDense(before, settings);
  const inputs = [...new Set([...found.chosen.values()].map(({ layer }) => layer.input))];
  const { ranges, means } =
    inputs.length > 0
      ? await look(before, inputs, { ...observer, observed: toCorrect(before, found.chosen.keys()) })
      : nothing;
  for (const [node, { layer }] of found.chosen) {
    const reason = describeMisfit(ranges.get(layer.input));
    if (reason === undefined) continue;
    found.chosen.delete(node);
    found.skipped.push({ node: labelOf(node), reason });
  }
  const corrected = await correctDense(before, found.chosen, settings, means);
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

/** The convolutions of a model, whose batch normalizations are folded, that the settings have as integers. */
export function chooseConvolutions(model: Model, settings: QuantizeOptions): Promise<Convolutions> {
  const refuse = (node: Node, rows: number, columns: number) => refuseSize(node, rows, columns, settings);
  return findConvolutions(model, {
    perChannel: settings.perChannel,
    largest: largestOf(settings),
    weigh: settings.minElements === undefined,
    refuse,
  });
}

/** The dense layers that the settings have as integers. */
export function chooseDense(model: Model, settings: QuantizeOptions): Promise<Found<QuantizedMatrix>> {
  const { perChannel } = settings;
  const largest = largestOf(settings);
  return chooseLayers(
    model,
    settings,
    eachUnit((weights, { rows, columns, transposed }) =>
      quantizeMatrix(weights, { rows, columns, transposed, perChannel, largest }),
    ),
  );
}

/** Largest integer of a weight. */
export function largestOf({ reduceRange }: Pick<QuantizeOptions, 'reduceRange'>): number {
  return reduceRange ? 63 : 127;
}

const nothing: Calibration = { ranges: new Map(), means: new Map() };

function calibrated({ calibration }: QuantizeOptions, context: PassContext): Calibrate {
  return async (model, names, observer) =>
    calibrate(model, names, await context.calibration(calibration.samples), calibration, observer);
}

/** Convolutions whose biases take back what rounding their weights adds. */
async function correctConvolutions(
  model: Model,
  convolutions: Convolutions,
  { biasCorrection }: QuantizeOptions,
  means: Observations,
): Promise<[Model, Convolutions]> {
  if (!biasCorrection) return [model, convolutions];
  const { model: extended, biases } = await correctBiases(model, convolutions.chosen, means);
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
  means: Observations,
): Promise<{ model: Model; chosen: Map<Node, QuantizedLayer<QuantizedMatrix>> }> {
  if (!biasCorrection || chosen.size === 0) return { model, chosen: new Map(chosen) };
  const matrices = new Map([...chosen].map(([node, { matrix }]) => [node, matrix]));
  const { model: extended, biases } = await correctBiases(model, matrices, means);
  const layers = [...chosen].map(([node, { layer, matrix }]) => {
    const bias = biases.get(node) ?? layer.bias;
    return [node, { layer: { ...layer, bias }, matrix }] as const;
  });
  return { model: extended, chosen: new Map(layers) };
}

/** Why an activation cannot be stored in a fixed range. */
export function describeMisfit(range: Range | undefined): string | undefined {
  if (!range) return 'there are no rows to calibrate on';
  const { low, high } = range;
  if (!Number.isFinite(high - low)) return 'its input is not finite on the calibration rows';
  return low === 0 && high === 0 ? 'its input is 0 on all calibration rows' : undefined;
}
