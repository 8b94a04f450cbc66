import type { ConfigPath } from '../../../config/index.js';
import type { Dataset } from '../../../data/index.js';
import { MaasError, type Place } from '../../../errors.js';
import { GraphBuilder } from '../../../ir/builder.js';
import { attr, type Dim, type Graph, type Value } from '../../../ir/graph.js';
import { freshNames, renameReads } from '../../../ir/rewrite.js';
import { emitFeatures } from '../emit-features.js';

export interface BindOptions {
  readonly preprocess: boolean;
  readonly place: (path: ConfigPath) => Place;
}

/**
 * Puts a model behind the inputs of the data: a row's numbers become its one input, reshaped where it wants images.
 * Its values keep their names, but for those that the inputs and outputs of the signature need.
 * @throws MaasError MAAS_MODEL_SHAPE when the two do not fit.
 */
export function bindInputs(body: Graph, dataset: Dataset, { preprocess, place }: BindOptions): Graph {
  const { signature } = dataset;
  const g = new GraphBuilder(signature.name);
  for (const { name } of signature.outputs) g.unique(name);
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  const given = body.inputs.filter(({ name }) => !body.initializers.has(name));
  const misfit = (message: string, hint: string): MaasError =>
    new MaasError('MAAS_MODEL_SHAPE', message, { place: place(['train', 'model', 'onnx']), hint });

  const [input, ...others] = given;
  if (!input || others.length > 0) {
    const names = given.map(({ name }) => name).join(', ');
    throw misfit(
      `the model takes ${given.length} inputs${names === '' ? '' : ` (${names})`}: maas trains those that take one`,
      'Export the part that takes the numbers of a row as one input.',
    );
  }
  const text = signature.inputs.filter(({ dtype }) => dtype === 'string').map(({ name }) => name);
  if (!preprocess && text.length > 0) {
    throw misfit(
      `the model takes numbers, and the data has the text ${text.length === 1 ? 'column' : 'columns'} ${text.join(', ')}`,
      'Write preprocess: true, which gives each category a column, or leave them out with data.exclude.',
    );
  }
  const rows = preprocess ? emitFeatures(g, dataset) : signature.inputs[0]!.name;
  const bound = fitInput(g, rows, input, misfit);

  const fresh = freshNames(body);
  const names = new Map<string, string>([[input.name, bound]]);
  for (const name of [...body.initializers.keys(), ...body.nodes.flatMap(({ outputs }) => outputs)]) {
    if (name !== '' && g.has(name)) names.set(name, rename(name, g, fresh));
  }
  return join(g.build(), body, { names, batch: input.shape?.[0] });
}

/** Brings rows [N, columns] into the shape and type of the input. */
function fitInput(
  g: GraphBuilder,
  rows: string,
  { name, dtype, shape }: Value,
  misfit: (message: string, hint: string) => MaasError,
): string {
  const columns = Number(g.shapeOf(rows)[1]);
  const [batch, ...sizes] = shape ?? [];
  if (!shape || sizes.some((size) => typeof size !== 'number')) {
    // Nothing is known: it is taken at its word.
    if (!shape || shape.length === 2) return rows;
  }
  const wants = `[${(shape ?? []).map((size) => (size === '' ? '?' : size)).join(', ')}]`;
  if (typeof batch === 'number') {
    throw misfit(
      `the model's input ${name} is ${wants}: it takes ${batch === 1 ? 'one row' : `${batch} rows`} at a time, no more and no less`,
      'Export it with a batch of any size (dynamic_shapes, or dynamic_axes, in torch.onnx.export).',
    );
  }
  const width = sizes.reduce((product: number, size) => product * Number(size), 1);
  if (width !== columns) {
    throw misfit(
      `the model's input ${name} is ${wants}, and the data has ${columns} ${columns === 1 ? 'column' : 'columns'} of numbers`,
      'Choose columns with data.exclude, or another model.',
    );
  }
  const shaped =
    sizes.length === 1
      ? rows
      : g.op('Reshape', [rows, g.int64s([-1, ...sizes.map(Number)])], {}, { name: 'images' });
  if (dtype === undefined || dtype === 'float32') return shaped;
  const code = castCodes[dtype];
  if (code === undefined) {
    throw misfit(
      `the model's input ${name} takes ${dtype}, and the data gives numbers`,
      'Choose another model.',
    );
  }
  return g.op('Cast', [shaped], { to: attr.int(code) });
}

/** ONNX's numbers for the types that columns of numbers can be turned into. */
const castCodes: Readonly<Record<string, number>> = { int32: 6, int64: 7, float64: 11 };

function rename(name: string, g: GraphBuilder, fresh: (stem: string) => string): string {
  let other = fresh(name);
  while (g.has(other)) other = fresh(name);
  return other;
}

interface Joint {
  readonly names: ReadonlyMap<string, string>;
  /** The model's own name for the batch. */
  readonly batch: Dim | undefined;
}

/** One graph: `front`, and `body` behind it under new names. */
function join(front: Graph, body: Graph, { names, batch }: Joint): Graph {
  const to = (name: string): string => names.get(name) ?? name;
  const renamed = renameReads(body, names);
  // What the file states of a size that it does not name says nothing.
  const known = (value: Value): boolean => value.dtype !== undefined && value.shape?.includes('') !== true;
  const values = [...body.values.values()].filter(known).map((value): [string, Value] => {
    const shape = value.shape?.map((size) => (size === batch ? 'N' : size));
    return [to(value.name), { ...value, name: to(value.name), shape }];
  });
  return {
    name: front.name,
    inputs: front.inputs,
    outputs: body.outputs.map((value) => ({ name: to(value.name) })),
    initializers: new Map([
      ...front.initializers,
      ...[...body.initializers].map(([name, constant]) => [to(name), constant] as const),
    ]),
    nodes: [...front.nodes, ...renamed.nodes.map((node) => ({ ...node, outputs: node.outputs.map(to) }))],
    values: new Map([...front.values, ...values]),
  };
}
