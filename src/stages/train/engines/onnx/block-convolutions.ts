import { blocksDomain as domain } from '../../../../ir/gradient/blocked.js';
import { attr, numberAttribute, type Graph, type Model, type Node } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import { freshNames, replaceNodes } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { int64s, sizeOf, tensor, toNdArray, type Tensor } from '../../../../ir/tensor.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';

/** Sizes of a block, by processor: that of a vector of float32. */
const blocks = [16, 8];

type Shape = readonly (number | string)[] | undefined;

/** Whether a convolution is worth it: one over single places gains less than the reordering costs (measured). */
function fits(image: Shape, kernel: Shape, block: number): kernel is readonly number[] {
  if (image?.length !== 4 || !kernel?.every((size) => typeof size === 'number')) return false;
  const [outputs, inputs, ...reach] = kernel as [number, number, ...number[]];
  return outputs % block === 0 && (inputs % block === 0 || inputs < block) && sizeOf(reach) > 1;
}

/**
 * Puts convolutions on blocks of channels in the place of those of images, from two to three times as fast on small
 * images. onnxruntime does so by itself only where kernels are constants, which they are not while they are trained.
 */
export function blockConvolutions(graph: Graph, block: number): Graph {
  const types = inferTypes(graph);
  const fresh = freshNames(graph);
  return replaceNodes(graph, (node) => {
    if (node.op !== 'Conv' || node.domain !== '' || numberAttribute(node, 'group', 1) !== 1) return undefined;
    const [x, w] = node.inputs as [string, string];
    const [image, kernel] = [types.get(x), types.get(w)?.shape];
    if (image?.dtype !== 'float32' || !fits(image.shape, kernel, block)) return undefined;
    const [outputs, inputs, ...reach] = kernel as readonly [number, number, ...number[]];
    const nodes: Node[] = [];
    const initializers = new Map<string, Tensor>();
    const emit = (op: string, reads: readonly string[], rest: Partial<Node> = {}): string => {
      const name = fresh(`${node.outputs[0]!}.blocked`);
      nodes.push({ op, domain: '', name, inputs: reads, outputs: [name], attributes: {}, ...rest });
      return name;
    };
    const reshape = (name: string, dims: readonly number[]): string => {
      const shape = fresh(`${name}.dims`);
      initializers.set(shape, int64s(dims));
      return emit('Reshape', [name, shape]);
    };
    // Kernels: [O/block, I/block, H, W, block of I, block of O], in the shape that they had. Fewer inputs than a block
    // holds are read one by one, from the image as it is.
    const inner = inputs < block ? 1 : block;
    const split = reshape(w, [outputs / block, block, inputs / inner, inner, ...reach]);
    const turned = emit('Transpose', [split], { attributes: { perm: attr.ints([0, 2, 4, 5, 3, 1]) } });
    const reordered = reshape(turned, kernel);
    const source = inputs < block ? x : emit('ReorderInput', [x], { domain });
    const product = emit('Conv', [source, reordered, ...node.inputs.slice(2)], {
      domain,
      attributes: node.attributes,
    });
    emit('ReorderOutput', [product], {
      domain,
      outputs: node.outputs,
      attributes: { channels: attr.int(outputs) },
    });
    return { nodes, initializers };
  });
}

/** The graph with its convolutions on blocks of channels, where this machine's onnxruntime has such. */
export async function useBlocks(graph: Graph, thread: SessionThread): Promise<Graph> {
  if (!graph.nodes.some(({ op }) => op === 'Conv')) return graph;
  const block = await findBlock(thread);
  return block === undefined ? graph : blockConvolutions(graph, block);
}

/** Some whole numbers. */
function numbers(length: number, step: number): number[] {
  return Array.from({ length }, (_, at) => ((at * step) % 23) - 11);
}

/** A model of convolutions of whole numbers, as they are (outputs 0, 1) and on blocks (2, 3). */
function probeOf(block: number): Model {
  const side = 3;
  const channels = [block, 3];
  const names = (stem: string): string[] => channels.map((count) => `${stem}${count}`);
  const part = (stem: string): Graph => ({
    name: 'probe',
    inputs: channels.map((count) => ({ name: `x${count}`, dtype: 'float32', shape: [1, count, side, side] })),
    outputs: names(stem).map((name) => ({ name, dtype: 'float32', shape: [1, block, side, side] })),
    initializers: new Map(
      channels.map((count) => {
        const dims = [block, count, side, side];
        return [`w${count}`, tensor('float32', dims, numbers(sizeOf(dims), 7))];
      }),
    ),
    values: new Map(),
    nodes: names(stem).map((name, at) => ({
      op: 'Conv',
      domain: '',
      name,
      inputs: [`x${channels[at]}`, `w${channels[at]}`],
      outputs: [name],
      attributes: { pads: attr.ints([1, 1, 1, 1]) },
    })),
  });
  const [plain, blocked] = [part('plain'), blockConvolutions(part('blocked'), block)];
  const graph: Graph = {
    ...plain,
    outputs: [...plain.outputs, ...blocked.outputs],
    nodes: [...plain.nodes, ...blocked.nodes],
    initializers: new Map([...plain.initializers, ...blocked.initializers]),
  };
  return { irVersion: 10, opsets: { '': 21 }, producer: 'maas', graph, metadata: {} };
}

/**
 * The size of onnxruntime's blocks of channels on this machine, found by trying; undefined where it has none, or where
 * they do not give what convolutions of images give: the operators are onnxruntime's own business.
 */
export async function findBlock(thread: SessionThread): Promise<number | undefined> {
  for (const block of blocks) {
    const probe = probeOf(block);
    const feeds = Object.fromEntries(
      probe.graph.inputs.map(({ name, shape }) => {
        const dims = shape as number[];
        return [name, toNdArray(tensor('float32', dims, numbers(sizeOf(dims), 5)))];
      }),
    );
    try {
      const session = await thread.open(encodeModel(probe), { threads: 1, optimization: 'basic' });
      const found = await session.run(feeds);
      await session.close();
      // Whole numbers, and so exact in any order of adding.
      const [first, second, ...others] = probe.graph.outputs.map(
        ({ name }) => found[name]!.data as Float32Array,
      );
      const equal = (a: Float32Array, b: Float32Array) => a.every((value, at) => value === b[at]);
      if (equal(first!, others[0]!) && equal(second!, others[1]!)) return block;
    } catch {
      // Not on this machine.
    }
  }
  return undefined;
}
