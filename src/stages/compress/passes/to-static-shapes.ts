import { z } from 'zod';
import { MaasError } from '../../../errors.js';
import { openInputs, subgraphsOf, type Dim, type Graph, type Model, type Value } from '../../../ir/graph.js';
import { inferTypes } from '../../../ir/shapes.js';
import { definePass } from '../../../plugin/api.js';
import { simplifyPass } from './simplify.js';

const size = z.int().min(1);
const options = z
  .strictObject({
    dimensions: z
      .record(z.string().min(1), size)
      .default({})
      .describe('Sizes by the names that the model gives them: `{ batch: 1, sequence: 128 }`.'),
    inputs: z
      .record(z.string().min(1), z.array(size))
      .default({})
      .describe(
        'Whole shapes by the names of inputs, for sizes without a name: `{ images: [1, 3, 224, 224] }`.',
      ),
  })
  .refine(
    ({ dimensions, inputs }) => Object.keys(dimensions).length + Object.keys(inputs).length > 0,
    'name a size: dimensions, inputs or both',
  );

type Options = z.output<typeof options>;

/**
 * What: fixes sizes of the inputs that the model leaves open, and simplifies what computed them.
 * Why: what depends on sizes alone is computed once, and devices that need fixed shapes can take the model.
 * Example: {dimensions: {batch: 1}} makes of x [batch, 8] one of [1, 8], and of Reshape(x, Concat(Shape(x)…)) one of [1, 4, 2].
 *
 * The model gives the same as before for inputs of these shapes, and takes no others.
 */
export const toStaticShapesPass = definePass<Options>({
  name: 'toStaticShapes',
  summary: 'Fix sizes of the inputs that the model leaves open.',
  options,
  version: 1,
  async run(given, settings, context) {
    const { sizes, shapes, skipped } = bind(given.graph, settings);
    if (sizes.size === 0 && shapes.size === 0)
      return { model: given, report: { changed: false, applied: [], skipped } };
    const fixed = fix(given.graph, sizes, shapes);
    const { model, report } = await simplifyPass.run({ ...given, graph: fixed }, {}, context);
    const applied = openInputs(fixed)
      .filter(({ name, shape }) => shape !== shapeOf(given.graph, name))
      .map(({ name, shape }) => ({ node: name, note: `is [${shape!.join(', ')}]` }));
    return {
      model: stateOutputs(model),
      report: { changed: true, applied: [...applied, ...(report.applied ?? [])], skipped },
    };
  },
});

interface Bound {
  /** Sizes by name. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Of inputs that have sizes without a name. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly skipped: { node: string; reason: string }[];
}

/** @throws MaasError MAAS_MODEL_SHAPE for a name that the model does not have, and a shape that it does not take. */
function bind(graph: Graph, settings: Options): Bound {
  const inputs = openInputs(graph);
  const open = new Set(inputs.flatMap(({ shape }) => shape?.filter((dim) => typeof dim === 'string') ?? []));
  const skipped: { node: string; reason: string }[] = [];
  const sizes = new Map<string, number>();
  const shapes = new Map<string, readonly number[]>();
  for (const [name, value] of Object.entries(settings.dimensions)) {
    if (open.has(name)) sizes.set(name, value);
    // Where nothing is open, all that could be fixed is.
    else if (open.size === 0) skipped.push({ node: name, reason: 'all sizes are fixed' });
    else throw misfit(`no input has a size named "${name}"`, inputs);
  }
  for (const [name, wanted] of Object.entries(settings.inputs)) {
    const input = inputs.find((each) => each.name === name);
    if (!input) throw misfit(`there is no input "${name}"`, inputs);
    const { shape } = input;
    const fits =
      !shape ||
      (shape.length === wanted.length &&
        shape.every((dim, axis) => typeof dim === 'string' || dim === wanted[axis]));
    if (!fits) throw misfit(`the input ${describe(input)} cannot be [${wanted.join(', ')}]`, inputs);
    if (shape?.every((dim) => typeof dim === 'number')) {
      skipped.push({ node: name, reason: 'all its sizes are fixed' });
      continue;
    }
    shapes.set(name, wanted);
    shape?.forEach((dim, axis) => {
      if (typeof dim !== 'string' || dim === '') return;
      const other = sizes.get(dim);
      if (other !== undefined && other !== wanted[axis]) {
        throw misfit(`the size "${dim}" cannot be both ${other} and ${wanted[axis]}`, inputs);
      }
      sizes.set(dim, wanted[axis]!);
    });
  }
  return { sizes, shapes, skipped };
}

/** Sizes in the place of their names, wherever the graph states them. */
function fix(
  graph: Graph,
  sizes: ReadonlyMap<string, number>,
  shapes: ReadonlyMap<string, readonly number[]>,
): Graph {
  const inShape = (shape: readonly Dim[]): readonly Dim[] =>
    shape.some((dim) => typeof dim === 'string' && sizes.has(dim))
      ? shape.map((dim) => (typeof dim === 'string' ? (sizes.get(dim) ?? dim) : dim))
      : shape;
  const inValue = (value: Value): Value => (value.shape ? { ...value, shape: inShape(value.shape) } : value);
  const inGraph = (part: Graph): Graph => ({
    ...part,
    inputs: part.inputs.map(inValue),
    outputs: part.outputs.map(inValue),
    values: new Map([...part.values].map(([name, value]) => [name, inValue(value)])),
    nodes: part.nodes.map((node) =>
      subgraphsOf(node).length === 0
        ? node
        : {
            ...node,
            attributes: Object.fromEntries(
              Object.entries(node.attributes).map(([name, attribute]) => [
                name,
                attribute.type === 'graph' ? { ...attribute, value: inGraph(attribute.value) } : attribute,
              ]),
            ),
          },
    ),
  });
  const whole = inGraph(graph);
  const inputs = whole.inputs.map((input) => {
    const shape = shapes.get(input.name);
    return shape ? { ...input, shape } : input;
  });
  return { ...whole, inputs };
}

/** The sizes of outputs that follow from those of the inputs. */
function stateOutputs(model: Model): Model {
  const types = inferTypes(model);
  const outputs = model.graph.outputs.map((output) => {
    const shape = types.get(output.name)?.shape;
    const known = output.shape?.map((dim, axis) => (typeof shape?.[axis] === 'number' ? shape[axis] : dim));
    return known ? { ...output, shape: known } : output;
  });
  return { ...model, graph: { ...model.graph, outputs } };
}

function shapeOf({ inputs }: Graph, name: string): readonly Dim[] | undefined {
  return inputs.find((input) => input.name === name)?.shape;
}

function misfit(message: string, inputs: readonly Value[]): MaasError {
  return new MaasError('MAAS_MODEL_SHAPE', `toStaticShapes: ${message}`, {
    hint: `The model takes ${inputs.map(describe).join(', ')}.`,
  });
}

function describe({ name, shape }: Value): string {
  return `${name} [${shape?.map((dim) => (dim === '' ? '?' : dim)).join(', ') ?? '…'}]`;
}
