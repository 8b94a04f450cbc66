import {
  numberAttribute,
  numbersAttribute,
  readsOf,
  subgraphsOf,
  type Dim,
  type Graph,
  type Node,
  type ValueType,
} from '../../../../ir/graph.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { numbersOf } from '../../../../ir/tensor.js';

/** What the rules ask about a value. */
interface Facts {
  readonly typeOf: (name: string) => ValueType | undefined;
  /** Hangs on the rows of the data, row by row. */
  readonly isRow: (name: string) => boolean;
  readonly numbersOf: (name: string) => number[] | undefined;
}

/** Whether each row of the node's output depends on the same row of its inputs only; its first axis counts rows. */
type RowRule = (node: Node, facts: Facts) => boolean;

const rankOf = (facts: Facts, name: string) => facts.typeOf(name)?.shape?.length;

/** Broadcasting lines up last axes: only operands of full rank have their rows where the output has them. */
const elementwise: RowRule = (node, facts) => {
  const rank = rankOf(facts, node.outputs[0]!);
  return node.inputs.every((name) => {
    if (name === '' || rank === undefined) return name === '';
    const shape = facts.typeOf(name)?.shape;
    if (facts.isRow(name)) return shape?.length === rank;
    return shape !== undefined && (shape.length < rank || shape[0] === 1);
  });
};

/** The first input has rows, the others are constants. */
const firstOnly: RowRule = ({ inputs }, facts) =>
  facts.isRow(inputs[0]!) && inputs.slice(1).every((name) => !facts.isRow(name));

/** Works along an axis that is not the rows'. */
const along =
  (otherwise: number): RowRule =>
  (node, facts) => {
    const axis = numberAttribute(node, 'axis', otherwise);
    const rank = rankOf(facts, node.inputs[0]!) ?? 0;
    return firstOnly(node, facts) && axis !== 0 && axis !== -rank;
  };

/** Elements stay in order: rows stay together when the other axes hold as many elements as before. */
const reshaped: RowRule = (node, facts) => {
  const width = (name: string) => {
    const sizes = facts.typeOf(name)?.shape?.slice(1) ?? [NaN];
    return sizes.reduce((product: number, size) => product * (typeof size === 'number' ? size : NaN), 1);
  };
  return firstOnly(node, facts) && width(node.inputs[0]!) === width(node.outputs[0]!);
};

const elementwiseOps = [
  ...[
    'Abs',
    'Add',
    'And',
    'Cast',
    'Ceil',
    'Clip',
    'Cos',
    'Div',
    'Elu',
    'Equal',
    'Erf',
    'Exp',
    'Floor',
    'Gelu',
  ],
  ...[
    'Greater',
    'GreaterOrEqual',
    'HardSigmoid',
    'HardSwish',
    'Identity',
    'IsInf',
    'IsNaN',
    'LeakyRelu',
    'Less',
  ],
  ...[
    'LessOrEqual',
    'Log',
    'Max',
    'Min',
    'Mod',
    'Mul',
    'Neg',
    'Not',
    'Or',
    'PRelu',
    'Pow',
    'Reciprocal',
    'Relu',
  ],
  ...[
    'Round',
    'Selu',
    'Sigmoid',
    'Sign',
    'Sin',
    'Softplus',
    'Softsign',
    'Sqrt',
    'Sub',
    'Tanh',
    'Where',
    'Xor',
  ],
  ...['ai.onnx.ml:LabelEncoder', 'ai.onnx.ml:Scaler', 'com.microsoft:MurmurHash3'],
];

const rules: Readonly<Record<string, RowRule>> = {
  ...Object.fromEntries(elementwiseOps.map((op) => [op, elementwise])),
  AveragePool: firstOnly,
  BatchNormalization: (node, facts) =>
    firstOnly(node, facts) && node.outputs.length === 1 && numberAttribute(node, 'training_mode', 0) === 0,
  Concat(node, facts) {
    const axis = numberAttribute(node, 'axis', 0);
    const rank = rankOf(facts, node.outputs[0]!) ?? 0;
    return axis !== 0 && axis !== -rank && node.inputs.every(facts.isRow);
  },
  Conv: firstOnly,
  Flatten: reshaped,
  /** A constant table that rows choose from, or constant columns of rows. */
  Gather(node, facts) {
    const [table, indices] = node.inputs as [string, string];
    const axis = numberAttribute(node, 'axis', 0);
    if (!facts.isRow(table)) return axis === 0;
    return !facts.isRow(indices) && axis > 0;
  },
  GatherElements: (node, facts) =>
    numberAttribute(node, 'axis', 0) > 0 && node.inputs.every((name) => facts.isRow(name)),
  Gemm: (node, facts) =>
    firstOnly(node, facts) &&
    numberAttribute(node, 'transA', 0) === 0 &&
    node.inputs.slice(2).every((name) => rankOf(facts, name) === 1 || facts.typeOf(name)?.shape?.[0] === 1),
  GlobalAveragePool: firstOnly,
  GlobalMaxPool: firstOnly,
  LayerNormalization: along(-1),
  LogSoftmax: along(-1),
  LpNormalization: along(-1),
  MatMul: (node, facts) =>
    firstOnly(node, facts) && rankOf(facts, node.inputs[0]!)! >= 2 && rankOf(facts, node.inputs[1]!) === 2,
  MaxPool: firstOnly,
  OneHot: along(-1),
  Pad(node, facts) {
    const pads = facts.numbersOf(node.inputs[1]!);
    const rank = rankOf(facts, node.inputs[0]!) ?? 0;
    return firstOnly(node, facts) && node.inputs.length < 4 && pads?.[0] === 0 && pads[rank] === 0;
  },
  ReduceSum(node, facts) {
    const axes = facts.numbersOf(node.inputs[1] ?? '');
    return firstOnly(node, facts) && axes?.every((axis) => axis > 0) === true;
  },
  Reshape: reshaped,
  Slice(node, facts) {
    const axes = facts.numbersOf(node.inputs[3] ?? '');
    return firstOnly(node, facts) && (axes ?? [0]).every((axis) => axis > 0);
  },
  Softmax: along(-1),
  Squeeze: reshaped,
  StringNormalizer: (node, facts) => firstOnly(node, facts) && !('stopwords' in node.attributes),
  TfIdfVectorizer: (node, facts) => firstOnly(node, facts) && rankOf(facts, node.inputs[0]!) === 2,
  'com.microsoft:Tokenizer': firstOnly,
  Transpose: (node, facts) => firstOnly(node, facts) && numbersAttribute(node, 'perm')?.[0] === 0,
  Unsqueeze: reshaped,
};

/**
 * The nodes whose outputs are the same for a row in whatever batch it comes, as far as that is certain: they depend on
 * data and constants only.
 * @param open Names that are no constants although they are no data: weights in training, noise.
 * @param rows Size of the first axis of the data's columns.
 */
export function rowWiseNodes(
  graph: Graph,
  data: ReadonlySet<string>,
  open: ReadonlySet<string>,
  rows: Dim,
): Set<Node> {
  const types = inferTypes(graph);
  const constant = new Set([...graph.initializers.keys()].filter((name) => !open.has(name)));
  const isRow = new Set(data);
  const facts: Facts = {
    typeOf: (name) => types.get(name),
    isRow: (name) => isRow.has(name),
    numbersOf: (name) => {
      const found = open.has(name) ? undefined : graph.initializers.get(name);
      return found && numbersOf(found);
    },
  };
  const fits = (node: Node): boolean => {
    const rule = rules[node.domain === '' ? node.op : `${node.domain}:${node.op}`];
    const reads = readsOf(node);
    return (
      subgraphsOf(node).length === 0 &&
      reads.some((name) => isRow.has(name)) &&
      reads.every((name) => isRow.has(name) || constant.has(name)) &&
      node.outputs.length === 1 &&
      types.get(node.outputs[0]!)?.shape?.[0] === rows &&
      rule?.(node, facts) === true
    );
  };
  const nodes = graph.nodes.filter((node) => {
    if (!fits(node)) return false;
    isRow.add(node.outputs[0]!);
    return true;
  });
  return new Set(nodes);
}
