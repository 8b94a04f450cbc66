import {
  attr,
  numberAttribute,
  numbersAttribute,
  producersOf,
  stringAttribute,
  type Model,
  type Node,
} from '../../../ir/graph.js';
import { replaceNodes } from '../../../ir/rewrite.js';
import { isFileRange, numbersOf } from '../../../ir/tensor.js';
import { defineCleanup } from './cleanup/cleanup.js';
import { constantAt, labelOf } from './dense-layer.js';

/**
 * What: takes zeros around an image into the padding of the convolution, or of the averages that count them, behind it.
 * Why: a Pad copies the image.
 * Example: Conv(Pad(x, 1), W) → Conv(x, W) {pads: [1, 1, 1, 1]}.
 */
export const foldPadPass = defineCleanup('foldPad', 'Take a Pad into the convolution behind it.', (model) => {
  const producers = producersOf(model.graph);
  const applied: { node: string; note: string }[] = [];
  const graph = replaceNodes(model.graph, (node) => {
    const pad = producers.get(node.inputs[0] ?? '');
    if (!pad || !canPad(node)) return undefined;
    const around = readPad(pad, model);
    if (!around) return undefined;
    const own = numbersAttribute(node, 'pads') ?? new Array<number>(around.length).fill(0);
    if (own.length !== around.length) return undefined;
    const sums = own.map((count, at) => count + around[at]!);
    if (!isSmaller(sums, node)) return undefined;
    applied.push({ node: labelOf(node), note: `took in ${labelOf(pad)}` });
    const pads = attr.ints(sums);
    const inputs = [pad.inputs[0]!, ...node.inputs.slice(1)];
    return { nodes: [{ ...node, inputs, attributes: { ...node.attributes, pads } }] };
  });
  return { graph, applied };
});

function canPad(node: Node): boolean {
  const counts = node.op === 'AveragePool' && numberAttribute(node, 'count_include_pad', 0) === 1;
  // Rounded up, the last window may reach beyond what is padded, and is then averaged over less.
  const rounds = numberAttribute(node, 'ceil_mode', 0) !== 0;
  const isPadded = stringAttribute(node, 'auto_pad', 'NOTSET') === 'NOTSET';
  return node.domain === '' && (node.op === 'Conv' || (counts && !rounds)) && isPadded;
}

/** onnxruntime refuses a pool whose padding is as large as its window. */
function isSmaller(pads: readonly number[], node: Node): boolean {
  const window = numbersAttribute(node, 'kernel_shape') ?? [];
  return node.op === 'Conv' || pads.every((count, at) => count < window[at % window.length]!);
}

/** The zeros around each image as `pads` of a Conv has them, or undefined for any other kind of Pad. */
function readPad(pad: Node, { graph, irVersion }: Model): number[] | undefined {
  if (pad.op !== 'Pad' || pad.domain !== '' || stringAttribute(pad, 'mode', 'constant') !== 'constant')
    return undefined;
  const [, sizes = '', fill = '', axes = ''] = pad.inputs;
  const constant = (name: string): number[] | undefined => {
    const tensor = constantAt(name, graph, irVersion);
    return tensor && !isFileRange(tensor.data) && tensor.dtype !== 'float16' ? numbersOf(tensor) : undefined;
  };
  const pads = sizes === '' ? numbersAttribute(pad, 'pads') : constant(sizes);
  const value = fill === '' ? [numberAttribute(pad, 'value', 0)] : constant(fill);
  if (!pads || axes !== '' || value?.length !== 1 || value[0] !== 0) return undefined;
  const rank = pads.length / 2;
  const [before, after] = [pads.slice(0, rank), pads.slice(rank)];
  const isSpatial = [before, after].every(([batch, channel]) => batch === 0 && channel === 0);
  return isSpatial && pads.every((count) => count >= 0) ? [...before.slice(2), ...after.slice(2)] : undefined;
}
