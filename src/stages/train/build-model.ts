import type { ConfigPath } from '../../config/index.js';
import {
  headsOf,
  idOf,
  idsOf,
  measureAmounts,
  onlyTarget,
  type Dataset,
  type Feature,
  type Head,
  type Signature,
} from '../../data/index.js';
import { MaasError, type Place } from '../../errors.js';
import type { TrainJob } from '../../plugin/api.js';
import { GraphBuilder } from '../../ir/builder.js';
import { attr, type Dim, type Model } from '../../ir/graph.js';
import { removeDead } from '../../ir/rewrite.js';
import { tensor } from '../../ir/tensor.js';
import { emitFeatures, featureOpsets } from './emit-features.js';
import { emitErrors, emitLastStep, emitOutputs } from './emit-outputs.js';
import { openGroups, type FeatureGroups } from './feature-groups.js';
import type { ActivationName } from './layers/activations.js';
import type { DenseOptions } from './layers/dense.js';
import { firstSource, openLayers } from './layers/emit-layers.js';
import { drawWeights } from './layers/initializers.js';
import type { LayerChoice } from './layers/layer.js';
import { sizesOf } from './layers/shapes.js';
import { findHead } from './model-config.js';
import { layersOf, pathOf, type PresetChoice } from './presets/index.js';
import { randomStream } from './random.js';

/** A model with its first weights, ready for an engine. */
export interface Draft {
  readonly model: Model;
  readonly trainable: readonly string[];
  /** The value that the loss looks at: probabilities [N, classes], or amounts [N, 1]. */
  readonly prediction: string;
  readonly amounts?: TrainJob['amounts'];
  /** The same of further targets, by name. */
  readonly others?: Readonly<Record<string, Pick<Draft, 'prediction' | 'amounts'>>>;
  /** Where each step predicts the token after it: what the loss looks at instead. */
  readonly steps?: TrainJob['steps'];
  /** Lines for the person who trains. */
  readonly notes?: readonly string[];
}

export interface DraftOptions {
  readonly seed: number;
  /** Where a value of the config is written, for error messages. */
  readonly place: (path: ConfigPath) => Place;
  /** Inputs of the layers beside `features`, which are all of them. */
  readonly inputs?: FeatureGroups;
}

/**
 * Puts the layers between the raw features and the outputs of the signature. Scaling, look-ups, softmax and label names
 * are nodes like any other, so what is served is what was trained.
 * @throws MaasError MAAS_MODEL_SHAPE when the layers do not fit the data.
 */
export function buildModel(
  source: readonly LayerChoice[] | PresetChoice,
  dataset: Dataset,
  { seed, place, inputs = {} }: DraftOptions,
): Draft {
  const { signature } = dataset;
  const g = new GraphBuilder(signature.name);
  // The outputs' names are kept free for the outputs.
  for (const { name } of signature.outputs) g.unique(name);
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);

  const embeddings: string[] = [];
  const weight = (stem: string, dims: readonly number[]): string => {
    const name = g.unique(stem);
    const random = randomStream(seed, `initial/${name}`, 0);
    embeddings.push(name);
    return g.initializer(name, tensor('float32', dims, drawWeights('randomUniform', dims, noFans, random)));
  };
  const ids = new Map<string, number | undefined>();
  const emit = (features: readonly Feature[]): string => {
    const value = emitFeatures(g, dataset, weight, features);
    for (const feature of features) ids.set(value, idsOf(feature, dataset.transforms?.[feature.name]));
    return value;
  };
  const groups = openGroups(inputs, signature.features, emit, place);
  const preset = 'name' in source ? source : undefined;
  const whole = (): string => groups.sources.get(firstSource)!();
  const isNext = signature.generates !== undefined;
  const reconstructs = signature.reconstructs === true;
  const rowOf = (x: string) => ({
    sizes: sizesOf({ g }, x),
    isIds: ids.get(x) !== undefined,
    isNext,
    reconstructs,
  });
  const choices = 'name' in source ? layersOf(source, rowOf(whole()), place) : source;
  const path = preset ? pathOf(preset) : ['train', 'model', 'layers'];
  const layers = openLayers(g, { seed, path, place, ids });
  const width = reconstructs ? sizesOf({ g }, whole())[0] : undefined;
  const x = layers.emit(fitToData(choices, signature, place, width), groups.sources);
  groups.expectRead();
  const steps = isNext && g.rankOf(x) === 3 ? { logits: x, ids: whole(), first: idOf(0) } : undefined;
  const flat = steps ? emitLastStep(g, steps) : x;
  if (g.rankOf(flat) !== 2) throw notFlat(g.shapeOf(flat), place([...path, findHead(choices)!]));
  if (reconstructs && embeddings.length > 0) throw learnedInputs(place(['data', 'transforms']));
  const given = reconstructs ? emitErrors(g, flat, whole()) : flat;
  // What an activation bounds is meant as the amount itself.
  const isFree = !reconstructs && isLinear(choices);
  const heads = headsOf(signature);
  const parts = heads.length > 1 ? splitHeads(g, given, heads) : [given];
  const { train } = dataset.splits;
  const [first, ...others] = heads.map((head, at) => {
    const amounts =
      isFree && head.task === 'regression' ? measureAmounts(onlyTarget(train, head.name).target) : undefined;
    const prediction = emitOutputs(g, parts[at]!, head, amounts);
    return [head.name, { prediction, ...(amounts && { amounts }) }] as const;
  });
  const model: Model = {
    irVersion: 10,
    opsets: featureOpsets,
    producer: 'maas',
    graph: removeDead(g.build()),
    metadata: {},
  };
  const trainable = [...embeddings, ...layers.trainable];
  return {
    model,
    trainable,
    ...first![1],
    ...(others.length > 0 && { others: Object.fromEntries(others) }),
    ...(steps && { steps }),
  };
}

/** Outputs of the last layer for a target. */
const widthOf = ({ labels }: Head): number => labels?.length ?? 1;

/** What the last layer gives [N, outputs of all targets] → [N, outputs] for each. */
function splitHeads(g: GraphBuilder, x: string, heads: readonly Head[]): string[] {
  const sizes = g.int64s(heads.map(widthOf));
  return g.ops('Split', [x, sizes], { axis: attr.int(1) }, { name: 'heads', outputs: heads.length });
}

/** The first weights of embeddings do not depend on them. */
const noFans = { in: 1, out: 1 };

function learnedInputs(place: Place): MaasError {
  const message = 'a row whose numbers are learned cannot be reconstructed: they would all become the same';
  return new MaasError('MAAS_MODEL_SHAPE', message, {
    place,
    hint: 'Choose oneHot or hashing in place of embedding.',
  });
}

function notFlat(shape: readonly Dim[], place: Place): MaasError {
  const message = `the last layer gives [${shape.join(', ')}]: a row must come to one list of outputs`;
  return new MaasError('MAAS_MODEL_SHAPE', message, {
    place,
    hint: 'Put a flatten, or a global pooling, before the last layer.',
  });
}

/** The layers with the number of outputs that the data asks for, and without a softmax at the end, which is added. */
function fitToData(
  choices: readonly LayerChoice[],
  signature: Signature,
  place: DraftOptions['place'],
  width = 1,
): LayerChoice[] {
  const { labels } = signature.target;
  const heads = headsOf(signature);
  const isMany = heads.length > 1;
  const wanted = isMany ? heads.reduce((sum, each) => sum + widthOf(each), 0) : (labels?.length ?? width);
  const at = findHead(choices)!;
  const head = choices[at]!.options as DenseOptions;
  const { units } = head;
  const path = `train.model.layers[${at}].dense`;
  const placeOf = (...keys: string[]): Place => place(['train', 'model', 'layers', at, 'dense', ...keys]);
  if (units !== 'auto' && units !== wanted) {
    const needs = isMany
      ? `the targets have ${wanted} outputs (${heads.map((each) => `${each.name}: ${widthOf(each)}`).join(', ')})`
      : labels
        ? `the data has ${wanted} classes (${shorten(labels)})`
        : signature.reconstructs
          ? `a row has ${wanted} numbers to give back`
          : 'the data has one amount to predict';
    throw new MaasError('MAAS_MODEL_SHAPE', `the last layer, ${path}, has ${units} units: ${needs}`, {
      place: placeOf('units'),
      hint: `Write units: ${wanted}, or leave units out.`,
    });
  }
  const after = choices[at + 1];
  const functions = [head.activation, (after?.options ?? 'linear') as ActivationName].filter(
    (name) => name !== 'linear',
  );
  const misfit = isMany
    ? functions.length > 0
    : labels
      ? functions.length > 1 || functions.some((name) => name !== 'softmax')
      : functions.includes('softmax');
  if (misfit) {
    const misplaced = after ? place(['train', 'model', 'layers', at + 1]) : placeOf('activation');
    const needs = isMany
      ? 'each target has a function of its own, which is added'
      : labels
        ? 'probabilities of classes come from softmax alone'
        : 'an amount is no probability';
    throw new MaasError(
      'MAAS_MODEL_SHAPE',
      `the last layer, ${path}, ends in ${functions.join(' and ')}: ${needs}`,
      {
        place: misplaced,
        hint: isMany
          ? 'Leave activation out.'
          : `Write activation: ${labels ? 'softmax' : 'linear'}, or leave activation out.`,
      },
    );
  }
  const activation = labels ? 'linear' : head.activation;
  const fitted: LayerChoice = { name: 'dense', options: { ...head, units: wanted, activation } };
  return [...choices.slice(0, at), fitted, ...(labels ? [] : choices.slice(at + 1))];
}

/** Whether the last layer gives any number. */
function isLinear(choices: readonly LayerChoice[]): boolean {
  const at = findHead(choices)!;
  return (choices[at]!.options as DenseOptions).activation === 'linear' && choices.length === at + 1;
}

function shorten(labels: readonly string[]): string {
  return labels.length > 6 ? `${labels.slice(0, 5).join(', ')}, …` : labels.join(', ');
}
