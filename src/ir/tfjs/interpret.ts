import { MaasError } from '../../errors.js';
import { describe } from '../gradient/rule.js';
import {
  numberAttribute,
  numbersAttribute,
  subgraphsOf,
  type Graph,
  type Model,
  type Node,
} from '../graph.js';
import { fromHalf } from '../half.js';
import { numbersOf, toNdArray, type NdArray, type Tensor as Constant } from '../tensor.js';
import { ops, unsupported } from './ops/index.js';
import type { Tensor, Tf } from './tf.js';

/** Values by name. */
export type Values = ReadonlyMap<string, Tensor>;

export interface ProgramOptions {
  /** False where nothing is derived: operators without slopes may then be there too. Default: true. */
  readonly slopes?: boolean;
  /** Told of each node before it is carried out. */
  readonly onNode?: (node: Node) => void;
}

/** Carries a graph out, operator by operator: TensorFlow.js then knows the slopes by itself. */
export interface Program {
  run(inputs: Values): Map<string, Tensor>;
  /** Frees the constants. */
  dispose(): void;
}

/**
 * Makes a graph ready to run. What it makes in a run belongs to the `tf.tidy` around that.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED for operators that it does not have.
 */
export function openProgram(
  tf: Tf,
  { graph, opsets }: Pick<Model, 'graph' | 'opsets'>,
  { slopes = true, onNode = () => undefined }: ProgramOptions = {},
): Program {
  const constants = new Map<string, Tensor>();
  const known = new Map<string, number[]>();
  prepare(tf, graph, constants, known);
  const opset = opsets[''] ?? 0;
  return {
    run: (inputs) =>
      runGraph({ tf, opset, known, slopes, onNode }, graph, new Map([...constants, ...inputs])),
    dispose() {
      for (const tensor of constants.values()) tensor.dispose();
    },
  };
}

/** Constants of a graph and of those inside it; their names are not used twice. */
function prepare(
  tf: Tf,
  { initializers, nodes }: Graph,
  constants: Map<string, Tensor>,
  known: Map<string, number[]>,
): void {
  for (const node of nodes) {
    const inner = subgraphsOf(node);
    if (inner.length > 0 && !withGraphs.has(nameOf(node))) throw missing(node);
    for (const graph of inner) prepare(tf, graph, constants, known);
    if (inner.length === 0 && !ops[nameOf(node)]) throw missing(node);
  }
  for (const [name, constant] of initializers) {
    constants.set(name, tf.keep(toTensor(tf, toNdArray(constant), constant.dims)));
    if (isWhole(constant)) known.set(name, numbersOf(constant));
  }
}

/** Sizes and axes, and limits such as those of Clip. */
const isWhole = ({ dims, dtype }: Constant) =>
  dims.length <= 1 && (dims[0] ?? 1) <= 64 && dtype !== 'string' && dtype !== 'bool';

const nameOf = ({ domain, op }: Node) => (domain === '' ? op : `${domain}:${op}`);

function missing(node: Node): MaasError {
  return new MaasError('MAAS_MODEL_UNSUPPORTED', `TensorFlow.js has no operator for ${describe(node)}`, {
    hint: 'Train it with the onnx engine, or freeze the model up to that node.',
  });
}

interface Machine extends Required<ProgramOptions> {
  readonly tf: Tf;
  readonly opset: number;
  readonly known: ReadonlyMap<string, readonly number[]>;
}

function runGraph(machine: Machine, { nodes }: Graph, values: Map<string, Tensor>): Map<string, Tensor> {
  const { tf, opset, known, slopes, onNode } = machine;
  for (const node of nodes) {
    onNode(node);
    const inputs = node.inputs.map((name) => values.get(name));
    const numbers = (at: number): number[] | undefined => {
      const found = known.get(node.inputs[at] ?? '');
      return found ? [...found] : inputs[at] && Array.from(inputs[at].dataSync(), Number);
    };
    const made =
      withGraphs.get(nameOf(node))?.(machine, node, inputs as Tensor[], values) ??
      ops[nameOf(node)]!({ tf, node, opset, slopes, inputs, numbers });
    const outputs = Array.isArray(made) ? (made as readonly Tensor[]) : [made as Tensor];
    node.outputs.forEach((name, at) => {
      if (name !== '') values.set(name, outputs[at]!);
    });
  }
  return values;
}

function graphOf(node: Node, name: string): Graph {
  const graph = node.attributes[name];
  if (graph?.type !== 'graph') throw unsupported(node, `it has no ${name}`);
  return graph.value;
}

/** One of two graphs, by a condition that no slope goes through. */
function choose(machine: Machine, node: Node, [condition]: readonly Tensor[], outer: Values): Tensor[] {
  const branch = graphOf(node, condition!.dataSync()[0] ? 'then_branch' : 'else_branch');
  const values = runGraph(machine, branch, new Map(outer));
  return branch.outputs.map(({ name }) => values.get(name)!);
}

/** A loop over slices of the first axis (Scan of ONNX, along axis 0). */
function scan(machine: Machine, node: Node, inputs: readonly Tensor[], outer: Values): Tensor[] {
  const { tf } = machine;
  const body = graphOf(node, 'body');
  const count = numberAttribute(node, 'num_scan_inputs', 0);
  const carriedCount = inputs.length - count;
  const axes = [
    ...(numbersAttribute(node, 'scan_input_axes') ?? []),
    ...(numbersAttribute(node, 'scan_output_axes') ?? []),
  ];
  if (axes.some((axis) => axis !== 0)) throw unsupported(node, 'it goes along another axis than the first');
  const backward = numbersAttribute(node, 'scan_input_directions') ?? [];
  const turned = numbersAttribute(node, 'scan_output_directions') ?? [];
  let carried = inputs.slice(0, carriedCount);
  const scanned = inputs.slice(carriedCount);
  const steps = scanned[0]!.shape[0]!;
  const stacks: Tensor[][] = body.outputs.slice(carriedCount).map(() => []);
  for (let step = 0; step < steps; step++) {
    const slices = scanned.map((whole, at) => {
      const [, ...rest] = whole.shape;
      const from = backward[at] === 1 ? steps - 1 - step : step;
      return tf.reshape(tf.slice(whole, [from, ...rest.map(() => 0)], [1, ...rest]), rest);
    });
    const values = new Map(outer);
    body.inputs.forEach(({ name }, at) => values.set(name, [...carried, ...slices][at]!));
    runGraph(machine, body, values);
    const made = body.outputs.map(({ name }) => values.get(name)!);
    carried = made.slice(0, carriedCount);
    made.slice(carriedCount).forEach((tensor, at) => stacks[at]!.push(tensor));
  }
  return [...carried, ...stacks.map((stack, at) => tf.stack(turned[at] === 1 ? stack.reverse() : stack, 0))];
}

/** Operators that carry out graphs inside of them. */
const withGraphs = new Map([
  ['Scan', scan],
  ['If', choose],
]);

/** A tensor of TensorFlow; whole numbers become int32, the only kind that it has. @param dims Other than the array's. */
export function toTensor(tf: Tf, { dtype, data, dims: own }: NdArray, dims = own): Tensor {
  switch (dtype) {
    case 'float32':
      return tf.tensor(data as Float32Array, dims, 'float32');
    case 'bool':
      return tf.tensor(data as Uint8Array, dims, 'bool');
    case 'float64':
      return tf.tensor(Float32Array.from(data as Float64Array), dims, 'float32');
    case 'float16':
      return tf.tensor(Float32Array.from(data as Uint16Array, fromHalf), dims, 'float32');
    case 'bfloat16':
      // The upper half of a float32.
      return tf.tensor(
        new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits << 16).buffer),
        dims,
        'float32',
      );
    case 'string':
      throw new MaasError('MAAS_MODEL_UNSUPPORTED', 'TensorFlow.js cannot compute with text', {
        hint: 'Use the onnx engine for this model.',
      });
    default:
      return tf.tensor(Int32Array.from(data as Int32Array, Number), dims, 'int32');
  }
}
