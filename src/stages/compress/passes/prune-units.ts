import { z } from 'zod';
import { matchesAny } from '../../../config/index.js';
import type { Model, Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { liftConstants } from '../../../ir/rewrite.js';
import { inferTypes } from '../../../ir/shapes.js';
import { valuesOf } from '../../../ir/tensor.js';
import { definePass, type PassContext, type PassReport } from '../../../plugin/api.js';
import type { Feeds } from '../../../runtime/session.js';
import { constantAt, labelOf } from './dense-layer.js';
import { fitSchema, inSteps, trainerOf } from './fine-tune.js';
import { observeMoments, type Observations, type Observed, type Observer } from './observe.js';
import { choose } from './prune-units/choose.js';
import { Cutting, stridesOf } from './prune-units/cut.js';
import { findSpaces } from './prune-units/find-spaces.js';
import { spreadOf } from './prune-units/moments.js';
import { rankUnits } from './prune-units/rank.js';
import { standIn } from './prune-units/repair.js';
import type { Consumer, Space } from './prune-units/spaces.js';

const kinds = ['neurons', 'channels', 'heads'] as const;

const options = z.strictObject({
  ratio: z.number().gt(0).lt(1).default(0.25).describe('Share of the units to take out.'),
  units: z
    .array(z.enum(kinds))
    .min(1)
    .default([...kinds])
    .describe(
      'neurons: of dense layers. channels: of convolutions, with all that a residual sum ties to them. heads: of attention.',
    ),
  scope: z
    .enum(['layer', 'global'])
    .default('layer')
    .describe(
      'layer: the same share of each. global: those that matter least anywhere, layers held against their mean.',
    ),
  layers: z
    .record(z.string().min(1), z.number().min(0).lt(1))
    .default({})
    .describe(
      'Another ratio for single layers, by the name of the node that gives the units; * stands for any text.',
    ),
  multiple: z
    .int()
    .min(1)
    .default(8)
    .describe(
      'Neurons and channels that are left are a multiple of it, where there are more: kernels work in blocks.',
    ),
  repair: z
    .boolean()
    .default(true)
    .describe(
      'Change the weights behind, by least squares on calibration rows, to make up for the units that go.',
    ),
  samples: z.int().min(1).default(512).describe('Calibration rows, at most.'),
  iterations: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe('Steps in which the ratio is reached, with fineTune after each.'),
  fineTune: fitSchema
    .optional()
    .describe('Train on the rows of the project after each step. {} for the defaults.'),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe('Names of nodes whose units all stay; * stands for any text.'),
});
export type PruneUnitsOptions = z.output<typeof options>;

/**
 * What: takes neurons, channels and attention heads out of a model.
 * Why: what is left is a smaller dense model, which is faster everywhere.
 * Example: Gemm 128 → 64, Gemm 64 → 10 becomes Gemm 128 → 32, Gemm 32 → 10 at ratio 0.5.
 *
 * A unit counts by what it adds to the layers behind it: the power of its activations, as far as they cannot be told from
 * those of other units, times that of the weights that read them. With calibration rows the weights behind are repaired: what a unit gave is made up of those that are left, as well
 * as least squares can. Residual sums tie channels to each other; what reaches an operator that is not understood stays.
 */
export const pruneUnitsPass = definePass<PruneUnitsOptions>({
  name: 'pruneUnits',
  summary: 'Take out the neurons, channels and heads that matter least, and repair what reads them.',
  options,
  version: 1,
  async run(given, settings, context) {
    const { iterations, fineTune, ratio } = settings;
    const trainer = fineTune && trainerOf(context, 'pruneUnits', 'fine-tune');
    const sizes = new Map<string, number>();
    let report: PassReport = { changed: false, skipped: [] };
    const cut = async (model: Model, iteration: number): Promise<Model | undefined> => {
      // The same share of what is left, each time.
      const target = 1 - (1 - ratio) ** (iteration / iterations);
      const pruned = await prune(model, { ...settings, ratio: target }, context, sizes);
      report = merge(report, pruned.report);
      return pruned.report.changed ? pruned.model : undefined;
    };
    const train = trainer && ((model: Model) => trainer.fit({ ...fineTune, model }));
    const lifted: Model = { ...given, graph: liftConstants(given.graph) };
    const made = await inSteps(lifted, iterations, cut, train);
    return { model: made ?? given, report };
  },
});

/** @param sizes Units before the first step, by producer; filled in. */
async function prune(
  model: Model,
  settings: PruneUnitsOptions,
  context: PassContext,
  sizes: Map<string, number>,
): Promise<{ model: Model; report: PassReport }> {
  const skipped: { node: string; reason: string }[] = [];
  const spaces = findSpaces(model).filter((space) => {
    const reason = refuse(space, settings);
    const labels = space.producers.map(({ node }) => labelOf(node));
    if (reason !== undefined) skipped.push(...labels.map((node) => ({ node, reason })));
    return reason === undefined && labels.length > 0;
  });
  for (const space of spaces) {
    const key = labelOf(space.producers[0]!.node);
    if (!sizes.has(key)) sizes.set(key, space.size);
  }
  const batches = await context.calibration(settings.samples);
  const { signal, memory } = context;
  // What was seen of the model that came does not hold for what the first step has made of it.
  const observer = settings.iterations === 1 ? { signal, memory } : { signal };
  const moments = await observe(model, spaces, batches, observer);
  const scored = await Promise.all(
    spaces.map(async (space) => ({
      space,
      scores: await scoreUnits(space, model, moments),
      before: sizes.get(labelOf(space.producers[0]!.node))!,
    })),
  );
  const cutting = new Cutting(model);
  const applied: { node: string; note: string }[] = [];
  for (const { space, kept } of choose(scored, settings)) {
    const left = `${space.size} → ${kept.length} ${space.kind}`;
    if (kept.length === space.size) {
      skipped.push({
        node: labelOf(space.producers[0]!.node),
        reason: `${space.size} ${space.kind} are few`,
      });
      continue;
    }
    if (settings.repair) {
      for (const consumer of space.consumers)
        await repairConsumer(cutting, consumer, kept, { space, model, moments });
    }
    await cutting.take(space, kept);
    applied.push(...space.producers.map(({ node }) => ({ node: labelOf(node), note: left })));
  }
  if (applied.length === 0) return { model, report: { changed: false, skipped } };
  return { model: cutting.finish(), report: { changed: true, applied, skipped } };
}

function refuse(space: Space, { units, exclude }: PruneUnitsOptions): string | undefined {
  if (space.locked !== undefined) return space.locked;
  if (space.producers.some(({ node }) => matchesAny(labelOf(node), exclude))) return 'excluded';
  if (!units.includes(space.kind)) return `units leaves ${space.kind} out`;
  if (space.consumers.length === 0) return 'no layer reads it';
  return space.size < 2 ? 'it has one unit' : undefined;
}

/** Layers that read more channels are not repaired: the work grows with the cube. */
const mostChannels = 4096;

async function observe(
  model: Model,
  spaces: readonly Space[],
  batches: readonly Feeds[],
  observer: Observer,
) {
  const observed = new Map<string, Observed>();
  const types = inferTypes(model);
  for (const { size, consumers } of spaces) {
    for (const { source, isImage, channels } of consumers) {
      const isFloat = types.get(source)?.dtype === 'float32';
      if (isFloat && size * channels <= mostChannels)
        observed.set(source, { name: source, channels: size * channels, isImage });
    }
  }
  return observeMoments(model, [...observed.values()], batches, observer);
}

/** A bias that others read too cannot change. */
const takesOffset = ({ op, inputs: [, , bias = ''] }: Node, { graph }: Model): boolean =>
  op !== 'MatMul' && (bias === '' || graph.nodes.filter(({ inputs }) => inputs.includes(bias)).length === 1);

async function repairConsumer(
  cutting: Cutting,
  consumer: Consumer,
  kept: readonly number[],
  { space: { size }, model, moments }: { space: Space; model: Model; moments: Observations },
): Promise<void> {
  const { channels, source, node } = consumer;
  const seen = moments.get(source);
  if (!seen) return;
  const left = new Set(kept);
  const elements = (isKept: boolean): number[] =>
    Array.from({ length: size * channels }, (_, at) => at).filter(
      (at) => left.has(Math.floor(at / channels)) === isKept,
    );
  const spread = spreadOf(seen, size * channels, takesOffset(node, model));
  const stand = standIn(spread, elements(true), elements(false));
  if (stand) await cutting.repair(consumer, stand, takesOffset(node, model));
}

/** What each unit adds to the layers behind it; layers that read the same units count alike. */
async function scoreUnits(space: Space, model: Model, moments: Observations): Promise<Float64Array> {
  const { size, consumers, producers } = space;
  const scores = new Float64Array(size);
  let made: Float64Array | undefined;
  for (const { constant, axis, width, channels, source, node } of consumers) {
    const power = await powerOf(model, constant, axis, size * channels, (width / channels) | 0);
    const seen = moments.get(source);
    const spread = seen && spreadOf(seen, size * channels, takesOffset(node, model));
    if (!spread) made ??= await madeBy(model, producers, size);
    const each = spread
      ? rankUnits(spread.covariance, power, size, channels)
      : Float64Array.from(made!, (value, unit) => {
          const own = power.subarray(unit * channels, (unit + 1) * channels);
          return value * own.reduce((sum, part) => sum + part, 0);
        });
    const total = each.reduce((sum, value) => sum + value, 0);
    if (total > 0) each.forEach((value, unit) => (scores[unit]! += value / total));
  }
  return scores;
}

/** Without rows: how large the weights are that give a unit. */
async function madeBy(model: Model, producers: Space['producers'], size: number): Promise<Float64Array> {
  const made = new Float64Array(size);
  for (const { slice } of producers) {
    const power = await powerOf(model, slice.constant, slice.axis, size, slice.width);
    power.forEach((value, unit) => (made[unit]! += value));
  }
  return made;
}

/** Σ w² of each of `count` parts of an axis. */
async function powerOf(
  model: Model,
  name: string,
  axis: number,
  count: number,
  width: number,
): Promise<Float64Array> {
  const constant = await loadTensor(constantAt(name, model.graph, model.irVersion)!);
  const values = valuesOf(constant) as Float32Array;
  const { length, inner } = stridesOf(constant.dims, axis);
  const power = new Float64Array(count);
  for (let at = 0; at < values.length; at++) {
    power[Math.floor((Math.floor(at / inner) % length) / width)]! += values[at]! ** 2;
  }
  return power;
}

function merge(one: PassReport, other: PassReport): PassReport {
  const applied = new Map((one.applied ?? []).map(({ node, note }) => [node, note]));
  for (const { node, note } of other.applied ?? []) {
    const before = applied.get(node);
    applied.set(node, before === undefined ? note : `${before.split(' → ')[0]} → ${note.split(' → ')[1]}`);
  }
  return {
    changed: one.changed || other.changed,
    applied: [...applied].map(([node, note]) => ({ node, note })),
    skipped: other.skipped.filter(({ node }) => !applied.has(node)),
  };
}
