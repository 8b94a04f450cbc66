import type { Model } from '../../../ir/graph.js';
import { convertOpset } from '../../../ir/opset/convert.js';
import { liftConstants } from '../../../ir/rewrite.js';
import { definePass, type PassContext, type PassReport } from '../../../plugin/api.js';
import { chooseLayers, describeWeights, rewrite } from './quantize/choose-layers.js';
import { createDynamicEmitter } from './quantize/dynamic.js';
import { quantizeOptions, type QuantizeOptions } from './quantize/options.js';
import { chooseDense, quantizeStatic } from './quantize/quantize-static.js';
import { roundWeights } from './quantize/round-weights.js';
import { createUnpackedEmitter, createWeightsEmitter } from './quantize/weights.js';

/** Rewrites layers y = x · W + b, and in mode static convolutions, into integer arithmetic; `quantize/` has a file for each mode. */
export const quantizePass = definePass<QuantizeOptions>({
  name: 'quantize',
  summary:
    'Store the weights of dense layers and convolutions as integers of 8 or 4 bits, and compute with integers.',
  options: quantizeOptions,
  version: 6,
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
  const found = await chooseDense(model, settings);
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
