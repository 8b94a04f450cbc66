import { z } from 'zod';
import { consumersOf, producersOf, type Graph, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import {
  freshNames,
  liftConstants,
  removeDead,
  replaceNodes,
  type Replacement,
} from '../../../ir/rewrite.js';
import { sizeOf, tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { definePass, type PassReport } from '../../../plugin/api.js';
import { foldBatchNorms } from './fold-batch-norm.js';
import { constantAt, labelOf, readDense, type DenseLayer } from './dense-layer.js';

/**
 * Folding adds numbers of the size of mean / deviation to the bias and lets them cancel later. Beyond this ratio
 * float32 would lose more than a hundred-thousandth of a standard deviation.
 */
const maxShift = 100;

/** x · scale + shift, over the columns of x: what a run of nodes does to a layer's input. */
interface Affine {
  readonly from: string;
  readonly nodes: readonly Node[];
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/**
 * Takes nodes that scale and shift a dense layer's input by constants, such as the normalisation of features, into
 * its weights: (x · a + s) · W + b = x · (a ∘ W) + (b + s · W); and batch normalization into the layer before it. Exact
 * but for rounding.
 */
export const foldPass = definePass<Record<string, never>>({
  name: 'fold',
  summary: 'Take normalisation into the weights of the layer beside it.',
  options: z.strictObject({}),
  version: 2,
  async run(model) {
    const norms = await foldBatchNorms({ ...model, graph: liftConstants(model.graph) });
    const lifted = norms.model;
    const fresh = freshNames(lifted.graph);
    const replacements = new Map<Node, Replacement>();
    const applied = [...norms.applied];
    const skipped: { node: string; reason: string }[] = [];
    for (const node of lifted.graph.nodes) {
      const found = readDense(node, lifted);
      if (!found || 'reason' in found) continue;
      const affine = await readAffine(found.layer, lifted);
      if (!affine) continue;
      const folded = await fold(node, found.layer, affine, lifted, fresh);
      if ('reason' in folded) {
        skipped.push({ node: labelOf(node), reason: folded.reason });
        continue;
      }
      replacements.set(node, folded);
      for (const old of affine.nodes) replacements.set(old, { nodes: [] });
      applied.push({ node: labelOf(node), note: `took in ${affine.nodes.map(labelOf).join(', ')}` });
    }
    const report: PassReport = { changed: applied.length > 0, applied, skipped };
    if (applied.length === 0) return { model, report };
    if (replacements.size === 0) return { model: lifted, report };
    const graph = removeDead(replaceNodes(lifted.graph, (node) => replacements.get(node)));
    return { model: { ...model, graph }, report };
  },
});

/** Walks up from the layer's input as far as nodes scale or shift by constants and nobody else reads them. */
async function readAffine(layer: DenseLayer, { graph, irVersion }: Model): Promise<Affine | undefined> {
  const producers = producersOf(graph);
  const consumers = consumersOf(graph);
  const outputs = new Set(graph.outputs.map((value) => value.name));
  const scale = new Float64Array(layer.rows).fill(1);
  const shift = new Float64Array(layer.rows);
  const nodes: Node[] = [];
  let from = layer.input;
  for (;;) {
    const node = producers.get(from);
    if (node?.domain !== '' || consumers.get(from)?.length !== 1 || outputs.has(from)) break;
    const [left = '', right = ''] = node.inputs;
    const constantFirst = constantAt(left, graph, irVersion) !== undefined;
    const constant = constantAt(constantFirst ? left : right, graph, irVersion);
    const values = constant && (await columnsOf(constant, layer.rows));
    if (values === undefined || !hasColumns(constantFirst ? right : left, layer.rows, graph)) break;
    if (!combine(node.op, constantFirst, values, scale, shift)) break;
    nodes.push(node);
    from = constantFirst ? right : left;
  }
  return nodes.length > 0 ? { from, nodes: nodes.reverse(), scale, shift } : undefined;
}

/** Puts x ∘ c in front of x · scale + shift; false when the operator is no such thing. */
function combine(
  op: string,
  constantFirst: boolean,
  values: Float64Array,
  scale: Float64Array,
  shift: Float64Array,
): boolean {
  if (!['Add', 'Sub', 'Mul', 'Div'].includes(op) || (op === 'Div' && constantFirst)) return false;
  values.forEach((value, index) => {
    const factor = scale[index]!;
    if (op === 'Mul') scale[index] = factor * value;
    else if (op === 'Div') scale[index] = factor / value;
    else if (op === 'Add') shift[index]! += factor * value;
    else if (constantFirst) {
      shift[index]! += factor * value;
      scale[index] = -factor;
    } else shift[index]! -= factor * value;
  });
  return true;
}

/** The constant's value for each column, or undefined when it varies along another dimension. */
async function columnsOf(constant: Tensor, columns: number): Promise<Float64Array | undefined> {
  const size = sizeOf(constant.dims);
  const isRow = constant.dims.length <= 2 && (constant.dims.at(-1) ?? 1) === size;
  if (constant.dtype !== 'float32' || !isRow || (size !== 1 && size !== columns)) return undefined;
  const values = valuesOf(await loadTensor(constant)) as Float32Array;
  return Float64Array.from({ length: columns }, (_, index) => values[size === 1 ? 0 : index]!);
}

/** A single column would be spread over all of them by the constant: then the layer has no weights to fold into. */
function hasColumns(name: string, columns: number, graph: Graph): boolean {
  const value = graph.values.get(name) ?? graph.inputs.find((input) => input.name === name);
  return value?.shape?.length === 2 && value.shape[1] === columns;
}

async function fold(
  node: Node,
  layer: DenseLayer,
  { from, scale, shift }: Affine,
  { graph, irVersion }: Model,
  fresh: (stem: string) => string,
): Promise<Replacement | { readonly reason: string }> {
  const { rows, columns, transposed } = layer;
  if (shift.some((value) => !(Math.abs(value) <= maxShift))) {
    return { reason: `its input is shifted by more than ${maxShift} deviations, which costs precision` };
  }
  const shifted = shift.some((value) => value !== 0);
  if (shifted && node.op !== 'Gemm') return { reason: 'its input is shifted, and it has no bias' };
  const weight = graph.initializers.get(layer.weight)!;
  const values = valuesOf(await loadTensor(weight)) as Float32Array;
  const bias = new Float64Array(columns);
  if (shifted && layer.bias !== undefined) {
    const constant = constantAt(layer.bias, graph, irVersion);
    const given = constant && (await columnsOf(constant, columns));
    if (given === undefined) return { reason: 'its bias is not one constant row' };
    bias.set(given);
  }
  const folded = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const index = transposed ? column * rows + row : row * columns + column;
      folded[index] = values[index]! * scale[row]!;
      bias[column]! += shift[row]! * values[index]!;
    }
  }
  if (!folded.every(Number.isFinite)) return { reason: 'its weights would not be finite' };
  const weightName = fresh(`${layer.weight}_folded`);
  const biasName = shifted ? fresh(`${layer.bias ?? layer.weight}_shifted`) : layer.bias;
  const initializers: [string, Tensor][] = [[weightName, tensor('float32', weight.dims, folded)]];
  if (shifted) initializers.push([biasName!, tensor('float32', [columns], Float32Array.from(bias))]);
  const inputs = [from, weightName, ...(biasName === undefined ? [] : [biasName])];
  return { nodes: [{ ...node, inputs }], initializers };
}
