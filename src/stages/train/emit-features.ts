import { idsOf, scaleOf, transformOf, type Dataset, type Feature } from '../../data/index.js';
import type { Fitted, Site } from '../../data/transforms/transform.js';
import { MaasError } from '../../errors.js';
import type { GraphBuilder } from '../../ir/builder.js';
import { attr } from '../../ir/graph.js';
import { tensor } from '../../ir/tensor.js';

/** What the nodes that are emitted here belong to. */
export const featureOpsets = { '': 21, 'ai.onnx.ml': 4, 'com.microsoft': 1 };

/**
 * Emits what turns the raw inputs into one float32 matrix [N, features]. Unless the dataset has another transform for a
 * feature, numbers and the elements of an array have mean 0 and deviation 1 over the train split, and each category has a column
 * that is 1 where it stands. Each channel of images is scaled by itself. An array or image by itself keeps its shape; ids
 * stay the whole numbers that they are, int64.
 * @param chosen The features that go into it; all by default.
 * @param weight For transforms that are learned; without it they are refused.
 * @throws MaasError MAAS_MODEL_SHAPE
 */
export function emitFeatures(
  g: GraphBuilder,
  {
    signature: { inputs, features },
    statistics,
    transforms = {},
  }: Pick<Dataset, 'signature' | 'statistics' | 'transforms'>,
  weight: Site['weight'] = refuseWeight,
  chosen: readonly Feature[] = features,
): string {
  const site: Site = { g, weight };
  const parts = inputs.flatMap(({ name, dtype }): string[] => {
    const all = features.filter((feature) => feature.input === name);
    const own = all.filter((feature) => chosen.includes(feature));
    if (own.length === 0) return [];
    if (own[0]!.ids !== undefined) return [name];
    if (own[0]!.shape) {
      const emit = own[0]!.type === 'image' ? emitImageScaling : emitArrayScaling;
      const scaled = emit(g, name, statistics[name]!);
      // By itself it keeps its shape.
      return [chosen.length === 1 ? scaled : g.op('Flatten', [scaled])];
    }
    const filled = dtype === 'string' ? name : emitFilling(g, name, all);
    const columns = own.map((feature): Fitted & { emit: Emit } => {
      const { name: chosen, facts } = transforms[feature.name] ?? defaultFor(feature, statistics);
      return { feature, facts, emit: transformOf(chosen).emit };
    });
    const groups = new Map<Emit, Fitted[]>();
    for (const { emit, ...column } of columns) groups.set(emit, [...(groups.get(emit) ?? []), column]);
    return [...groups].map(([emit, group]) => emit(site, pick(g, filled, group, all.length), group));
  });
  if (parts.length > 1 && parts.some((part) => g.dtypeOf(part) === 'int64')) {
    throw notAlone(chosen.find((feature) => idsOf(feature, transforms[feature.name]) !== undefined)!.name);
  }
  return parts.length === 1 ? parts[0]! : g.op('Concat', parts, { axis: attr.int(1) }, { name: 'inputs' });
}

type Emit = ReturnType<typeof transformOf>['emit'];

/** The columns of a group, all of them in most cases. */
function pick(g: GraphBuilder, x: string, group: readonly Fitted[], width: number): string {
  if (group.length === width) return x;
  const columns = group.map(({ feature }) => feature.column);
  return g.op('Gather', [x, g.int64s(columns)], { axis: attr.int(1) });
}

function defaultFor({ type, input, column }: Feature, statistics: Dataset['statistics']) {
  if (type !== 'number') return { name: 'oneHot' as const, facts: null };
  const { mean, deviation } = statistics[input]!;
  const facts = { offset: mean[column]!, scale: scaleOf(mean[column]!, deviation[column]!) };
  return { name: 'normalization' as const, facts };
}

function emitArrayScaling(
  g: GraphBuilder,
  input: string,
  { mean, deviation }: Dataset['statistics'][string],
): string {
  const scale = deviation.map((spread, at) => scaleOf(mean[at]!, spread));
  const row = (values: Float32Array, part: string) =>
    g.constant(tensor('float32', [values.length], values), `${input}.${part}`);
  return g.op('Div', [g.op('Sub', [input, row(mean, 'mean')]), row(scale, 'deviation')]);
}

/** Pixels 0 to 255 → 0 to 1, less the mean of their channel, by its deviation: in two operations. */
function emitImageScaling(
  g: GraphBuilder,
  input: string,
  { mean, deviation }: Dataset['statistics'][string],
): string {
  const row = (values: Float32Array, part: string) => {
    const scaled = values.map((value) => value * 255);
    return g.constant(tensor('float32', [1, values.length, 1, 1], scaled), `${input}.${part}`);
  };
  const scale = deviation.map((spread, at) => scaleOf(mean[at]!, spread));
  const pixels = g.op('Cast', [input], { to: attr.int(1) });
  return g.op('Div', [g.op('Sub', [pixels, row(mean, 'mean')]), row(scale, 'deviation')]);
}

/** Puts what stands for a missing number where there is NaN; where nothing does, NaN stays and shows in the answer. */
function emitFilling(g: GraphBuilder, input: string, features: readonly Feature[]): string {
  if (features.every((feature) => feature.missing === undefined)) return input;
  const fills = new Float32Array(features.length).fill(NaN);
  for (const { column, missing } of features) if (missing) fills[column] = Number(missing.fill);
  const fill = g.constant(tensor('float32', [fills.length], fills), `${input}.fill`);
  return g.op('Where', [g.op('IsNaN', [input]), fill, input]);
}

function notAlone(name: string): MaasError {
  return new MaasError('MAAS_MODEL_SHAPE', `"${name}" holds ids, which cannot be put beside other columns`, {
    hint: `Give it an input of its own, train.model.inputs: {ids: ${name}}, or name it alone under data.features.`,
  });
}

function refuseWeight(name: string): never {
  throw new MaasError(
    'MAAS_MODEL_SHAPE',
    `${name} is learned, and nothing learns in front of a model from elsewhere`,
    {
      hint: 'Choose oneHot or hashing in data.transforms.',
    },
  );
}
