import type { Dataset } from '../../../data/index.js';
import { MaasError, type Place } from '../../../errors.js';
import { GraphBuilder } from '../../../ir/builder.js';
import { attr, type Dim, type Graph, type Value } from '../../../ir/graph.js';
import { freshNames, renameReads } from '../../../ir/rewrite.js';
import { sizeOf } from '../../../ir/tensor.js';
import { emitFeatures } from '../emit-features.js';

export interface BindOptions {
  readonly preprocess: boolean;
  /** Where the config names the model. */
  readonly place: Place;
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
    new MaasError('MAAS_MODEL_SHAPE', message, { place, hint });

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

/** Brings rows, [N, columns] or arrays [N, …], into the shape and type of the input. */
function fitInput(
  g: GraphBuilder,
  rows: string,
  { name, dtype, shape }: Value,
  misfit: (message: string, hint: string) => MaasError,
): string {
  const given = g.shapeOf(rows).slice(1).map(Number);
  const [batch, ...sizes] = shape ?? [];
  const isOpen = !shape || sizes.some((size) => typeof size !== 'number');
  // Nothing is known: it is taken at its word.
  if (!shape || (isOpen && sizes.length === given.length)) return rows;
  const wants = `[${shape.map((size) => (size === '' ? '?' : size)).join(', ')}]`;
  if (typeof batch === 'number') {
    throw misfit(
      `the model's input ${name} is ${wants}: it takes ${batch === 1 ? 'one row' : `${batch} rows`} at a time, no more and no less`,
      'Export it with a batch of any size (dynamic_shapes, or dynamic_axes, in torch.onnx.export).',
    );
  }
  const shaped = arrange(g, rows, given, sizes.map(Number));
  if (shaped === undefined) {
    const has =
      given.length === 1
        ? `${given[0]!} ${given[0] === 1 ? 'column' : 'columns'} of numbers`
        : `arrays [${given.join(', ')}]`;
    throw misfit(
      `the model's input ${name} is ${wants}, and the data has ${has}`,
      'Choose columns with data.exclude, or another model.',
    );
  }
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

/**
 * Rows of sizes `given` in the shape `wanted`. Images [channels, height, width] are turned for a model that has the
 * channels last, and the other way round.
 */
function arrange(g: GraphBuilder, rows: string, given: readonly number[], wanted: readonly number[]) {
  const same = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();
  if (same(given, wanted)) return rows;
  if (given.length === 3 && wanted.length === 3) {
    const turns = [
      [2, 3, 1],
      [3, 1, 2],
    ].filter((axes) =>
      same(
        axes.map((axis) => given[axis - 1]!),
        wanted,
      ),
    );
    const [turn] = turns;
    return turn && g.op('Transpose', [rows], { perm: attr.ints([0, ...turn]) }, { name: 'images' });
  }
  if (sizeOf(given) !== sizeOf(wanted)) return undefined;
  // Axes of one element say nothing of where the others lie.
  const isPlain = given.length === 1 || same(given.filter(isWide), wanted.filter(isWide));
  return isPlain ? g.op('Reshape', [rows, g.int64s([-1, ...wanted])], {}, { name: 'images' }) : undefined;
}

const isWide = (size: number): boolean => size !== 1;

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
