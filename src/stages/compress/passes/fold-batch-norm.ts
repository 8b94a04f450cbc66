import { consumersOf, numberAttribute, producersOf, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { freshNames, removeDead, replaceNodes, type Replacement } from '../../../ir/rewrite.js';
import { tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { constantAt, labelOf } from './dense-layer.js';

export interface Folded {
  readonly model: Model;
  readonly applied: readonly { readonly node: string; readonly note: string }[];
}

/**
 * Takes batch normalization into the weights of the convolution or Gemm before it: a = γ / √(σ² + ε) scales what a
 * channel is made of, and β + (b − μ) · a is its offset. Exact but for rounding.
 * @param model Its constants are initializers.
 */
export async function foldBatchNorms(model: Model): Promise<Folded> {
  const { graph, irVersion } = model;
  const producers = producersOf(graph);
  const consumers = consumersOf(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const fresh = freshNames(graph);
  const replacements = new Map<Node, Replacement>();
  const applied: { node: string; note: string }[] = [];

  const read = async (name: string | undefined): Promise<Float32Array | undefined> => {
    const constant = name === undefined ? undefined : constantAt(name, graph, irVersion);
    if (constant?.dtype !== 'float32') return undefined;
    return valuesOf(await loadTensor(constant)) as Float32Array;
  };

  for (const norm of graph.nodes) {
    if (norm.op !== 'BatchNormalization' || norm.domain !== '') continue;
    const layer = producers.get(norm.inputs[0]!);
    if (layer === undefined || !isLayer(layer) || replacements.has(layer)) continue;
    const inner = layer.outputs[0]!;
    if (consumers.get(inner)?.length !== 1 || outputs.has(inner) || norm.outputs.slice(1).some(Boolean))
      continue;

    const weight = constantAt(layer.inputs[1]!, graph, irVersion);
    const [values, gamma, beta, mean, variance] = await Promise.all(
      [layer.inputs[1], ...norm.inputs.slice(1)].map(read),
    );
    const hasBias = (layer.inputs[2] ?? '') !== '';
    const bias = hasBias ? await read(layer.inputs[2]) : undefined;
    if (
      !weight ||
      !values ||
      !gamma ||
      !beta ||
      !mean ||
      !variance ||
      (hasBias && bias?.length !== gamma.length)
    )
      continue;

    const epsilon = numberAttribute(norm, 'epsilon', 1e-5);
    const factor = Float64Array.from(
      gamma,
      (scale, channel) => scale / Math.sqrt(variance[channel]! + epsilon),
    );
    const offset = Float32Array.from(
      beta,
      (shift, channel) => shift + ((bias?.[channel] ?? 0) - mean[channel]!) * factor[channel]!,
    );
    const scaled = scaleChannels(values, weight, factor, isByColumn(layer));
    if (![...offset, ...scaled].every(Number.isFinite)) continue;

    const names = [fresh(`${layer.inputs[1]}_folded`), fresh(`${inner}_offset`)] as const;
    const initializers: [string, Tensor][] = [
      [names[0], tensor('float32', weight.dims, scaled)],
      [names[1], tensor('float32', [offset.length], offset)],
    ];
    replacements.set(layer, { nodes: [] });
    // In the place of the later one: everything that either reads is there by then.
    replacements.set(norm, {
      nodes: [{ ...layer, inputs: [layer.inputs[0]!, ...names], outputs: [norm.outputs[0]!] }],
      initializers,
    });
    applied.push({ node: labelOf(layer), note: `took in ${labelOf(norm)}` });
  }
  if (applied.length === 0) return { model, applied };
  return {
    model: { ...model, graph: removeDead(replaceNodes(graph, (node) => replacements.get(node))) },
    applied,
  };
}

function isLayer(node: Node): boolean {
  if (node.domain !== '') return false;
  if (node.op === 'Conv') return true;
  const plain = numberAttribute(node, 'alpha', 1) === 1 && numberAttribute(node, 'beta', 1) === 1;
  return node.op === 'Gemm' && plain;
}

/** Gemm's weights have a channel in each column, unless they are transposed; those of Conv have it first. */
function isByColumn(layer: Node): boolean {
  return layer.op === 'Gemm' && numberAttribute(layer, 'transB', 0) === 0;
}

function scaleChannels(
  values: Float32Array,
  { dims }: Tensor,
  factor: Float64Array,
  byColumn: boolean,
): Float32Array {
  const width = byColumn ? 1 : values.length / dims[0]!;
  return values.map((value, at) => value * factor[byColumn ? at % dims[1]! : Math.floor(at / width)]!);
}
