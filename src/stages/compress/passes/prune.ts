import { z } from 'zod';
import { matchesAny } from '../../../config/index.js';
import { numberAttribute, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { freshNames, liftConstants } from '../../../ir/rewrite.js';
import { tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { findWeights } from '../../../ir/weights.js';
import { definePass, type PassContext, type PassReport, type Trainer } from '../../../plugin/api.js';
import { constantAt, labelOf, readDense } from './dense-layer.js';
import { fitSchema, inSteps, trainerOf, type FitSettings } from './fine-tune.js';
import { observeGrams, type Observed } from './observe.js';
import { findMagnitude, pickMagnitudes } from './prune/magnitude.js';
import { pruneByInputs } from './prune/sparse-gpt.js';

const options = z
  .strictObject({
    sparsity: z.number().gt(0).lt(1).default(0.5).describe('Share of the weights that become 0.'),
    pattern: z
      .string()
      .regex(/^[1-9]\d*:[1-9]\d*$/, 'expected N:M, such as 2:4')
      .refine(
        (text) => Number(text.split(':')[0]) < Number(text.split(':')[1]),
        'expected N:M with N below M',
      )
      .optional()
      .describe('N:M keeps N of each M weights in a row that are added up together. Instead of sparsity.'),
    method: z
      .enum(['magnitude', 'sparsegpt'])
      .default('magnitude')
      .describe(
        'magnitude: the smallest weights go. sparsegpt: those that the outputs miss least on calibration rows, and the others make up for them (Frantar and Alistarh, arXiv:2301.00774).',
      ),
    scope: z
      .enum(['layer', 'global'])
      .default('layer')
      .describe('layer: the same share of each. global, of magnitude: the smallest anywhere.'),
    layers: z
      .record(z.string().min(1), z.number().min(0).lt(1))
      .default({})
      .describe('Another sparsity for single layers, by the name of their node; * stands for any text.'),
    samples: z.int().min(1).default(512).describe('sparsegpt: calibration rows, at most.'),
    damping: z
      .number()
      .gt(0)
      .default(0.01)
      .describe('sparsegpt: added to the diagonal of the Hessian, as a share of its mean.'),
    minElements: z.int().min(1).default(1024).describe('Smaller weights stay as they are.'),
    iterations: z
      .int()
      .min(1)
      .max(100)
      .default(1)
      .describe('Steps in which the sparsity is reached, with fineTune after each.'),
    fineTune: fitSchema
      .optional()
      .describe(
        'Train the weights that are left on the rows of the project after each step. {} for the defaults.',
      ),
    exclude: z
      .array(z.string().min(1))
      .default([])
      .describe('Names of nodes to leave as they are; * stands for any text.'),
  })
  .check((context) => {
    const { method, scope, pattern, iterations, fineTune } = context.value;
    const report = (path: string, message: string): void => {
      context.issues.push({ code: 'custom', input: context.value, path: [path], message });
    };
    if (scope === 'global' && method === 'sparsegpt')
      report('scope', 'sparsegpt looks at one layer at a time');
    if (scope === 'global' && pattern !== undefined) report('scope', 'a pattern is the same in each layer');
    if (pattern !== undefined && iterations > 1) report('iterations', 'a pattern is reached in one step');
    if (iterations > 1 && fineTune === undefined)
      report('iterations', 'several steps are of use only with fineTune between them');
  });
export type PruneOptions = z.output<typeof options>;

/** A layer whose weights can be thinned out. */
interface Layer {
  readonly node: Node;
  readonly weight: string;
  /** Products that are added up together: the rows of [rows, columns], or of [columns, rows] when transposed. */
  readonly rows: number;
  readonly columns: number;
  readonly transposed: boolean;
  /** What its rows are multiplied with. */
  readonly observed: Observed;
}

/**
 * What: sets weights to 0.
 * Why: the file compresses to a fraction (zstd, gzip), and runtimes with sparse kernels need it. A dense runtime is no faster.
 * Example: {sparsity: 0.9, iterations: 5, fineTune: {epochs: 2}} keeps a tenth, in five steps with training after each.
 */
export const prunePass = definePass<PruneOptions>({
  name: 'prune',
  summary: 'Set the weights to 0 that matter least.',
  options,
  version: 2,
  async run(given, settings, context) {
    const { iterations, fineTune, sparsity } = settings;
    const trainer = fineTune && trainerOf(context, 'prune', 'fine-tune');
    const lifted: Model = { ...given, graph: liftConstants(given.graph) };
    const { layers, skipped } = findLayers(lifted, settings);
    const applied = new Map<string, string>();
    const thinOut = async (model: Model, iteration: number): Promise<Model | undefined> => {
      // Fast while there is much to choose from (Zhu and Gupta, arXiv:1710.01878).
      const target = sparsity * (1 - (1 - iteration / iterations) ** 3);
      const step = await thin(model, layers, { ...settings, sparsity: target }, context, skipped);
      for (const [node, note] of step.applied) applied.set(node, note);
      return step.applied.size > 0 ? step.model : undefined;
    };
    const train = trainer && ((model: Model) => trainMasked(model, layers, trainer, fineTune));
    const made = await inSteps(lifted, iterations, thinOut, train);
    const report: PassReport = {
      changed: made !== undefined,
      applied: [...applied].map(([node, note]) => ({ node, note })),
      skipped,
    };
    return { model: made ?? given, report };
  },
});

function findLayers(
  model: Model,
  settings: PruneOptions,
): { readonly layers: Layer[]; readonly skipped: { node: string; reason: string }[] } {
  const layers: Layer[] = [];
  const skipped: { node: string; reason: string }[] = [];
  const seen = new Set<string>();
  for (const node of model.graph.nodes) {
    const found = readLayer(node, model, settings);
    if (!found) continue;
    if ('reason' in found) skipped.push({ node: labelOf(node), reason: found.reason });
    else if (!seen.has(found.weight)) layers.push(found);
    if ('weight' in found) seen.add(found.weight);
  }
  return { layers, skipped };
}

function readLayer(
  node: Node,
  model: Model,
  { method, minElements, exclude, pattern }: PruneOptions,
): Layer | { readonly reason: string } | undefined {
  const layer = node.op === 'Conv' ? readConvolution(node, model, method) : readDenseLayer(node, model);
  if (!layer || 'reason' in layer) return layer;
  const { rows, columns } = layer;
  if (matchesAny(labelOf(node), exclude)) return { reason: 'excluded' };
  if (rows * columns < minElements)
    return { reason: `${rows * columns} weights are fewer than minElements (${minElements})` };
  const group = Number(pattern?.split(':')[1] ?? 1);
  return rows % group === 0 ? layer : { reason: `its ${rows} rows are no multiple of ${group}` };
}

function readDenseLayer(node: Node, model: Model): Layer | { readonly reason: string } | undefined {
  const found = readDense(node, model);
  if (!found || 'reason' in found) return found;
  const { weight, rows, columns, transposed, input } = found.layer;
  return { node, weight, rows, columns, transposed, observed: { name: input, channels: rows } };
}

function readConvolution(
  node: Node,
  { graph, irVersion }: Model,
  method: PruneOptions['method'],
): Layer | { readonly reason: string } | undefined {
  if (node.domain !== '') return undefined;
  const constant = constantAt(node.inputs[1]!, graph, irVersion);
  if (constant?.dtype !== 'float32') return { reason: 'its weights are not constant float32' };
  if (numberAttribute(node, 'group', 1) !== 1) return { reason: 'its channels are read by groups' };
  const [columns = 1, ...inner] = constant.dims;
  const rows = inner.reduce((product, dim) => product * dim, 1);
  if (method === 'sparsegpt' && inner.length !== 3)
    return { reason: 'sparsegpt is for convolutions of images' };
  if (method === 'sparsegpt' && rows > mostPlaces)
    return { reason: `its kernels have ${rows} places, more than sparsegpt looks at (${mostPlaces})` };
  const key = `${labelOf(node)} of ${node.inputs[0]}`;
  const observed = {
    ...{ name: node.inputs[0]!, channels: rows, isImage: true },
    patches: { key, kernel: inner, attributes: node.attributes },
  };
  return { node, weight: node.inputs[1]!, rows, columns, transposed: true, observed };
}

/** A Hessian of so many rows and columns takes 128 MB. */
const mostPlaces = 4096;

/** @returns the labels of those that have more zeros than before. */
async function thin(
  model: Model,
  layers: readonly Layer[],
  settings: PruneOptions,
  context: PassContext,
  skipped: { node: string; reason: string }[],
): Promise<{ model: Model; applied: Map<string, string> }> {
  const { method, scope, pattern, sparsity, samples, damping } = settings;
  const stated = ({ node }: Layer): number | undefined =>
    Object.entries(settings.layers).find(([name]) => matchesAny(labelOf(node), [name]))?.[1];
  const read = async ({ weight }: Layer): Promise<Float32Array> =>
    valuesOf(await loadTensor(model.graph.initializers.get(weight)!)) as Float32Array;
  const limit =
    scope === 'global'
      ? await findMagnitude(
          layers.filter((layer) => stated(layer) === undefined).map((layer) => () => read(layer)),
          sparsity,
        )
      : undefined;
  const batches = method === 'sparsegpt' ? await context.calibration(samples) : [];
  const distinct = [...new Map(layers.map(({ observed }) => [keyOf(observed), observed])).values()];
  const grams =
    method === 'sparsegpt'
      ? await observeGrams(model, distinct, batches, { signal: context.signal })
      : undefined;

  const initializers = new Map<string, Tensor>(model.graph.initializers);
  const applied = new Map<string, string>();
  for (const layer of layers) {
    const values = await read(layer);
    const share = stated(layer) ?? sparsity;
    const groups = pattern?.split(':').map(Number) as [number, number] | undefined;
    const layout = { ...layer, groups: stated(layer) === undefined ? groups : undefined, share };
    const gram = grams?.get(keyOf(layer.observed));
    const label = labelOf(layer.node);
    if (!values.every(Number.isFinite) || (method === 'sparsegpt' && !gram)) {
      const reason =
        gram || method !== 'sparsegpt' ? 'its weights are not finite' : 'there are no rows to calibrate on';
      if (!skipped.some(({ node }) => node === label)) skipped.push({ node: label, reason });
      continue;
    }
    const after = gram
      ? pruneByInputs(values, gram, layout, damping)
      : pickMagnitudes(values, layout, stated(layer) === undefined ? limit : undefined);
    const [zerosBefore, zeros] = [values, after].map((list) =>
      list?.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0),
    );
    if (!after || zeros! <= zerosBefore!) continue;
    initializers.set(layer.weight, tensor('float32', initializers.get(layer.weight)!.dims, after));
    applied.set(label, `${zeros} of ${values.length} weights are 0`);
  }
  return { model: { ...model, graph: { ...model.graph, initializers } }, applied };
}

const keyOf = ({ name, patches }: Observed): string => patches?.key ?? name;

/** Trains with each weight behind a mask of what is left: what is 0 gets no gradient, and stays 0. */
async function trainMasked(
  model: Model,
  layers: readonly Layer[],
  trainer: Trainer,
  settings: FitSettings,
): Promise<Model> {
  const { graph } = model;
  const fresh = freshNames(graph);
  const initializers = new Map(graph.initializers);
  const masks = new Map<string, { readonly masked: string; readonly mask: Tensor }>();
  const products: Node[] = [];
  for (const { weight } of layers) {
    const constant = initializers.get(weight)!;
    const kept = (valuesOf(await loadTensor(constant)) as Float32Array).map((value) => (value === 0 ? 0 : 1));
    const mask = tensor('float32', constant.dims, kept);
    const [name, masked] = [fresh(`${weight}_mask`), fresh(`${weight}_masked`)];
    // Kept apart from what is trained by being made by a node.
    initializers.set(name, mask);
    masks.set(weight, { masked, mask });
    products.push({
      op: 'Mul',
      domain: '',
      name: masked,
      inputs: [weight, name],
      outputs: [masked],
      attributes: {},
    });
  }
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => masks.get(name)?.masked ?? name),
  }));
  const masking = { ...model, graph: { ...graph, initializers, nodes: [...products, ...nodes] } };
  const fitted = await trainer.fit({ ...settings, model: masking, trainable: findWeights(graph) });
  const trained = new Map(graph.initializers);
  for (const name of trained.keys()) {
    const constant = fitted.graph.initializers.get(name);
    if (!constant) continue;
    const found = masks.get(name);
    if (!found) trained.set(name, constant);
    else {
      const mask = valuesOf(found.mask) as Float32Array;
      const left = (valuesOf(constant) as Float32Array).map((value, at) => value * mask[at]!);
      trained.set(name, tensor('float32', constant.dims, left));
    }
  }
  return { ...model, graph: { ...graph, initializers: trained } };
}
