import { MaasError } from '../../../../errors.js';
import { numberAttribute, type Dim, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames, replaceNodes } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { numbersOf } from '../../../../ir/tensor.js';
import { randomStream } from '../../random.js';

/** An input that is fed with what takes the place of a Dropout node's random choice. */
export interface Mask {
  readonly name: string;
  readonly shape: readonly Dim[];
  /** Elements for each row of the batch. */
  readonly width: number;
  /** Share of elements that are dropped. */
  readonly rate: number;
}

/**
 * Turns each Dropout into a product with a mask that is fed. onnxruntime's own random numbers start anew with every
 * session, so a training that is taken up again would not see those of an unbroken one.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED when the size of a mask is not known before a run.
 */
export function feedDropout(graph: Graph): { graph: Graph; masks: Mask[] } {
  const masks: Mask[] = [];
  const fresh = freshNames(graph);
  const types = inferTypes(graph);
  const fed = replaceNodes(graph, (node) => {
    if (node.op !== 'Dropout' || node.domain !== '') return undefined;
    const data = node.inputs[0]!;
    const [batch, ...rest] = types.get(data)?.shape ?? [];
    if (typeof batch !== 'string' || rest.some((size) => typeof size !== 'number')) {
      throw unsupported(node, 'the size of its input must be known but for the batch');
    }
    if ((node.outputs[1] ?? '') !== '') throw unsupported(node, 'its mask is an output');
    const width = rest.reduce((product: number, size) => product * Number(size), 1);
    const mask = {
      name: fresh(`${node.name || 'dropout'}_mask`),
      shape: [batch, ...rest],
      width,
      rate: rateOf(node, graph),
    };
    masks.push(mask);
    return {
      nodes: [
        { ...node, op: 'Mul', inputs: [data, mask.name], outputs: node.outputs.slice(0, 1), attributes: {} },
      ],
    };
  });
  const dtype = 'float32' as const;
  return {
    graph: { ...fed, inputs: [...fed.inputs, ...masks.map(({ name, shape }) => ({ name, shape, dtype }))] },
    masks,
  };
}

function rateOf(node: Node, graph: Graph): number {
  const ratio = graph.initializers.get(node.inputs[1] ?? '');
  if ((node.inputs[1] ?? '') !== '' && !ratio) throw unsupported(node, 'its ratio is computed at run time');
  const rate = ratio ? numbersOf(ratio)[0]! : numberAttribute(node, 'ratio', 0.5);
  if (!(rate >= 0 && rate < 1)) throw unsupported(node, `its ratio ${rate} is not in [0, 1)`);
  return rate;
}

function unsupported(node: Node, why: string): MaasError {
  return new MaasError('MAAS_MODEL_UNSUPPORTED', `cannot train with Dropout (node ${node.name}): ${why}`, {
    hint: 'Remove the node, or fix the sizes in the model.',
  });
}

/** Fills a mask for one step: 0 for what is dropped, else 1/(1−rate), which keeps the mean as it is. */
export function fillMask(into: Float32Array, { name, rate }: Mask, seed: number, step: number): void {
  const random = randomStream(seed, `dropout/${name}`, step);
  const kept = 1 / (1 - rate);
  const threshold = Math.round(rate * 2 ** 16);
  // Each draw has 32 random bits: two elements of 16 bits.
  for (let at = 0; at < into.length; at += 2) {
    const bits = random.next();
    into[at] = bits >>> 16 < threshold ? 0 : kept;
    if (at + 1 < into.length) into[at + 1] = (bits & 0xffff) < threshold ? 0 : kept;
  }
}
