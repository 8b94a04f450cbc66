import { matchesAny } from '../../../config/index.js';
import type { Dataset, Feature } from '../../../data/index.js';
import { MaasError, type Place } from '../../../errors.js';
import { GraphBuilder } from '../../../ir/builder.js';
import { attr, type Dim, type Graph, type Value } from '../../../ir/graph.js';
import { freshNames, renameReads } from '../../../ir/rewrite.js';
import { sizeOf } from '../../../ir/tensor.js';
import { emitFeatures } from '../emit-features.js';
import type { FeatureGroups } from '../feature-groups.js';
import { shortList } from './select-weights.js';

export interface BindOptions {
  /** Features by the input of the model that takes them. */
  readonly groups?: FeatureGroups;
  readonly preprocess: boolean;
  /** Where the config names the model. */
  readonly place: Place;
}

type Misfit = (message: string, hint: string) => MaasError;

/**
 * Puts a model behind the inputs of the data: a row's numbers become its one input, reshaped where it wants images; several
 * inputs get the features of their names, or those that the config gives them.
 * Its values keep their names, but for those that the inputs and outputs of the signature need.
 * @throws MaasError MAAS_MODEL_SHAPE when the two do not fit.
 */
export function bindInputs(body: Graph, dataset: Dataset, options: BindOptions): Graph {
  const { preprocess, place } = options;
  const { signature } = dataset;
  const g = new GraphBuilder(signature.name);
  for (const { name } of signature.outputs) g.unique(name);
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  const given = body.inputs.filter(({ name }) => !body.initializers.has(name));
  const misfit: Misfit = (message, hint) => new MaasError('MAAS_MODEL_SHAPE', message, { place, hint });

  const [first] = given;
  if (!first) throw misfit('the model takes no inputs', 'Choose another model.');
  const parts = shareOut(given, signature.features, { ...options, misfit });
  const taken = [...new Set(parts.flat())];
  const text = taken.filter(({ type }) => type === 'category' || type === 'text').map(({ name }) => name);
  if (!preprocess && text.length > 0) {
    throw misfit(
      `the model takes numbers, and the data has the text ${text.length === 1 ? 'column' : 'columns'} ${text.join(', ')}`,
      'Write preprocess: true, which gives each category a column, or leave them out with data.exclude.',
    );
  }
  const names = new Map<string, string>();
  given.forEach((input, index) => {
    const rows = preprocess
      ? emitFeatures(g, dataset, undefined, parts[index])
      : emitRaw(g, dataset, parts[index]!, misfit);
    names.set(input.name, fitInput(g, rows, input, misfit));
  });

  const fresh = freshNames(body);
  for (const name of [...body.initializers.keys(), ...body.nodes.flatMap(({ outputs }) => outputs)]) {
    if (name !== '' && g.has(name)) names.set(name, rename(name, g, fresh));
  }
  return join(g.build(), body, { names, batch: first.shape?.[0] });
}

/** The features that each input of the model gets: those that the config names, or the one of its own name. */
function shareOut(
  given: readonly Value[],
  features: readonly Feature[],
  { groups = {}, misfit }: Pick<BindOptions, 'groups'> & { readonly misfit: Misfit },
): (readonly Feature[])[] {
  const [only, ...others] = given;
  if (others.length === 0 && groups[only!.name] === undefined) return [features];
  const parts = given.map(({ name }) => {
    const patterns = groups[name] ?? [name];
    const own = features.filter((feature) => matchesAny(feature.name, patterns));
    if (own.length > 0) return own;
    const all = given.map((input) => input.name).join(', ');
    throw misfit(
      `the model takes ${given.length} inputs (${all}), and the data has no feature ${patterns.join(', ')}`,
      `Write train.model.inputs: {${name}: FEATURE}. The features are ${shortList(features.map((each) => each.name))}.`,
    );
  });
  const lost = features.filter((feature) => !parts.some((part) => part.includes(feature)));
  if (lost.length === 0) return parts;
  throw misfit(
    `no input of the model takes ${shortList(lost.map(({ name }) => name))}`,
    'List it under data.exclude, or give it to an input under train.model.inputs.',
  );
}

/** Features as the data has them: an array by itself, or columns of numbers. */
function emitRaw(g: GraphBuilder, { signature }: Dataset, part: readonly Feature[], misfit: Misfit): string {
  const [name, ...others] = [...new Set(part.map(({ input }) => input))] as [string, ...string[]];
  if (others.length > 0) {
    throw misfit(
      `${shortList(part.map((feature) => feature.name))} cannot be one input: they are not all columns of numbers`,
      'Give each array to an input of its own under train.model.inputs.',
    );
  }
  const all = signature.features.filter(({ input }) => input === name);
  if (all.length === part.length) return name;
  return g.op('Gather', [name, g.int64s(part.map(({ column }) => column))], { axis: attr.int(1) });
}

/** Brings rows, [N, columns] or arrays [N, …], into the shape and type of the input. */
function fitInput(g: GraphBuilder, rows: string, { name, dtype, shape }: Value, misfit: Misfit): string {
  const given = g.shapeOf(rows).slice(1).map(Number);
  const [batch, ...sizes] = shape ?? [];
  const isOpen = !shape || sizes.some((size) => typeof size !== 'number');
  // Nothing is known: it is taken at its word.
  if (!shape || (isOpen && sizes.length === given.length)) return fitType(g, rows, { name, dtype }, misfit);
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
  return fitType(g, shaped, { name, dtype }, misfit);
}

function fitType(g: GraphBuilder, rows: string, { name, dtype }: Value, misfit: Misfit): string {
  if (dtype === undefined || dtype === g.dtypeOf(rows)) return rows;
  const code = castCodes[dtype];
  if (code === undefined) {
    throw misfit(
      `the model's input ${name} takes ${dtype}, and the data gives numbers`,
      'Choose another model.',
    );
  }
  return g.op('Cast', [rows], { to: attr.int(code) });
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
const castCodes: Readonly<Record<string, number>> = { float32: 1, int32: 6, int64: 7, float64: 11 };

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
