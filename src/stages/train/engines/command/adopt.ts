import { headsOf, type Dataset, type Signature } from '../../../../data/index.js';
import { sliceRows } from '../../../../data/rows.js';
import { MaasError, type Place } from '../../../../errors.js';
import { GraphBuilder } from '../../../../ir/builder.js';
import type { Graph, Model, Value } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { liftConstants, removeDead } from '../../../../ir/rewrite.js';
import { openSession } from '../../../../runtime/session.js';
import { emitOutputs } from '../../emit-outputs.js';
import { bindInputs } from '../../fine-tune/bind-inputs.js';

export interface AdoptOptions {
  readonly preprocess: boolean;
  readonly output?: string | undefined;
  readonly place: Place;
  /** What the trainer's own program gave for the first rows of the validation split. */
  readonly golden?: { readonly dims: readonly number[]; readonly data: ArrayLike<number> } | undefined;
}

/** Rows that the model is tried on. */
const tried = 256;

/** How far a figure may be from that of the trainer's own program, beside the same share of it. */
const tolerance = 1e-3;

/**
 * Takes the trainer's model for the signature: puts the preprocessing before it and the labels behind it, where it has
 * none itself, and tries it on held-out rows.
 * @throws MaasError MAAS_MODEL_SHAPE when it does not fit the data, MAAS_TRAINER_FAILED when what it gives is no number or
 * not what the trainer's own program gave.
 */
export async function adoptTrained(source: Model, dataset: Dataset, options: AdoptOptions): Promise<Model> {
  const { signature } = dataset;
  const model = { ...source, graph: liftConstants(source.graph), irVersion: Math.max(source.irVersion, 8) };
  if (fitsSignature(model.graph, signature)) return model;
  const output = chooseOutput(model.graph, options);
  const body = removeDead({ ...model.graph, outputs: [{ name: output }] });
  const bound = takesSignature(body, signature, options)
    ? { ...body, name: signature.name }
    : bindInputs(body, dataset, { preprocess: options.preprocess, place: options.place });
  const given = bound.outputs[0]!.name;
  const opsets = { ...model.opsets, 'ai.onnx.ml': Math.max(model.opsets['ai.onnx.ml'] ?? 4, 2) };
  const figures = await tryRows({ ...model, opsets, graph: bound }, given, dataset, options);

  const g = new GraphBuilder({ ...bound, outputs: [] });
  const isClasses = signature.task === 'classification';
  let x = given;
  // Figures that are shares of 1 in every row are probabilities; the logarithm is what softmax undoes.
  if (isClasses && areProbabilities(figures.data, figures.dims[1]!)) x = g.op('Log', [x]);
  if (!isClasses && figures.dims.length === 1) x = g.op('Reshape', [x, g.int64s([-1, 1])]);
  emitOutputs(g, x, headsOf(signature)[0]);
  return { ...model, opsets, graph: removeDead(g.build()) };
}

/** True for a model that takes and gives what the signature says, name by name. */
function fitsSignature({ inputs, outputs, initializers }: Graph, signature: Signature): boolean {
  const same = (values: readonly Value[], ports: Signature['inputs']): boolean =>
    values.length === ports.length &&
    ports.every(({ name, dtype }) => values.some((value) => value.name === name && value.dtype === dtype));
  const given = inputs.filter(({ name }) => !initializers.has(name));
  return same(given, signature.inputs) && same(outputs, signature.outputs);
}

/** True for a model of the columns as they are, by their names. */
function takesSignature(
  { inputs, initializers }: Graph,
  signature: Signature,
  { preprocess }: AdoptOptions,
): boolean {
  if (preprocess) return false;
  const given = inputs.filter(({ name }) => !initializers.has(name));
  return given.every(({ name, dtype }) =>
    signature.inputs.some((port) => port.name === name && port.dtype === dtype),
  );
}

function chooseOutput({ outputs }: Graph, { output, place }: AdoptOptions): string {
  const names = outputs
    .filter(
      ({ dtype, opaqueType }) => dtype === 'float32' || (dtype === undefined && opaqueType === undefined),
    )
    .map(({ name }) => name);
  if (output !== undefined && names.includes(output)) return output;
  if (output === undefined && names.length === 1) return names[0]!;
  const what = output === undefined ? `${names.length} outputs` : `no output ${output}`;
  throw new MaasError('MAAS_MODEL_SHAPE', `the trainer's model has ${what} of float32`, {
    place,
    hint:
      names.length === 0
        ? 'Export logits, probabilities or amounts as float32.'
        : `Write output: one of ${names.join(', ')}.`,
  });
}

interface Figures {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

async function tryRows(
  model: Model,
  output: string,
  dataset: Dataset,
  options: AdoptOptions,
): Promise<Figures> {
  const { splits, signature } = dataset;
  const rows = Math.min(tried, splits.validation.rows);
  const graph = { ...model.graph, outputs: [{ name: output, dtype: 'float32' as const }] };
  const session = await openSession(encodeModel({ ...model, graph }));
  try {
    const { dims, data } = (await session.run(sliceRows(splits.validation.inputs, 0, rows)))[output]!;
    const figures = { dims, data: data as Float32Array };
    checkShape(figures, rows, signature, options);
    if (!figures.data.every(Number.isFinite)) {
      throw failed('gives figures that are no numbers for rows of the validation split', options);
    }
    if (options.golden) checkGolden(figures, options.golden, options);
    return figures;
  } finally {
    await session.close();
  }
}

function checkShape(
  { dims }: Figures,
  rows: number,
  { target, task }: Signature,
  { place }: AdoptOptions,
): void {
  const wanted = target.labels?.length ?? 1;
  const fits =
    dims[0] === rows && (dims.length === 2 ? dims[1] === wanted : dims.length === 1 && task === 'regression');
  if (fits) return;
  const needs = task === 'classification' ? `[${rows}, ${wanted}], a number for each class` : `[${rows}, 1]`;
  throw new MaasError(
    'MAAS_MODEL_SHAPE',
    `the trainer's model gives [${dims.join(', ')}] for ${rows} rows, and the data needs ${needs}`,
    { place, hint: 'Export the layer that gives logits or probabilities of all classes, or the amount.' },
  );
}

function checkGolden(
  { dims, data }: Figures,
  golden: NonNullable<AdoptOptions['golden']>,
  options: AdoptOptions,
): void {
  const width = dims[1] ?? 1;
  const isWhole = golden.data.length > 0 && golden.data.length % width === 0;
  if (!isWhole || (golden.dims[1] ?? 1) !== width) {
    throw failed(`gives [${dims.join(', ')}], and golden.npy has [${golden.dims.join(', ')}]`, options);
  }
  for (let at = 0; at < Math.min(data.length, golden.data.length); at++) {
    const expected = golden.data[at]!;
    if (Math.abs(data[at]! - expected) <= tolerance * (1 + Math.abs(expected))) continue;
    const row = Math.floor(at / width) + 1;
    throw failed(
      `gives ${data[at]!} in row ${row} of the validation split, where golden.npy has ${expected}`,
      options,
    );
  }
}

function failed(what: string, { place }: AdoptOptions): MaasError {
  return new MaasError('MAAS_TRAINER_FAILED', `the model that the trainer left ${what}`, {
    place,
    hint: 'Check the export: eval mode, the same weights, the same preprocessing.',
  });
}

function areProbabilities(data: Float32Array, classes: number): boolean {
  for (let start = 0; start < data.length; start += classes) {
    let sum = 0;
    for (let at = start; at < start + classes; at++) {
      if (data[at]! < 0) return false;
      sum += data[at]!;
    }
    if (Math.abs(sum - 1) > 1e-3) return false;
  }
  return true;
}
