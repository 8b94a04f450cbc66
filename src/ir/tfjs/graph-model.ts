import { MaasError } from '../../errors.js';
import { describe } from '../gradient/rule.js';
import { openInputs, type Dim, type Model, type Node, type Value } from '../graph.js';
import { liftConstants, stripDropout } from '../rewrite.js';
import type { DType } from '../tensor.js';
import { shapeOf, typeName, type NodeDef } from './graph-def.js';
import { openProgram } from './interpret.js';
import { OpenValueError, Recorder, rows, type Traced, type Weight } from './recorder.js';
import { splitText, type TextCodes } from './split-text.js';
import type { DataType } from './tf.js';
import { traceTf } from './traced-tf.js';

/** An input or output of a graph model. */
export interface Slot {
  readonly name: string;
  readonly dtype: DataType;
  /** `N` is the number of rows. */
  readonly shape: readonly Dim[];
}

/** A graph of TensorFlow's own operations, as TensorFlow.js runs it (`tf.loadGraphModel`). */
export interface GraphModel extends TextCodes {
  readonly nodes: readonly NodeDef[];
  readonly weights: readonly Weight[];
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  readonly signature: object;
}

/**
 * Writes a model down as operations of TensorFlow. Texts that stand for a few values become their numbers. Images are
 * laid out as TensorFlow has them between the first and the last operation that looks at places.
 * @param model With its weights in memory.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED for operators that TensorFlow.js does not have, by node.
 */
export function toGraphModel(model: Model): GraphModel {
  const { graph, categories, labels } = splitText(stripDropout(liftConstants(model.graph)));
  const recorder = new Recorder();
  let at: Node | undefined;
  const given = openInputs(graph);
  const open = openDims(given);
  const inputs = given.map((value) => toSlot(value, open));
  const traced = inputs.map(({ name, dtype, shape }): [string, Traced] => [
    name,
    recorder.input(
      name,
      dtype,
      shape.map((size) => (typeof size === 'number' ? size : rows)),
    ),
  ]);
  const placeholders = recorder.nodes.map(({ name }) => name);
  try {
    const program = openProgram(
      traceTf(recorder),
      { graph, opsets: model.opsets },
      {
        slopes: false,
        onNode(node) {
          at = node;
          recorder.scope = node.name || node.outputs.find(Boolean)!;
        },
      },
    );
    const values = program.run(new Map(traced)) as Map<string, Traced>;
    recorder.scope = '';
    const made = graph.outputs.map(({ name }) => ({ name, value: values.get(name)! }));
    const identities = made.map(({ name, value }) => recorder.output(name, value));
    const outputs = made.map(({ name, value: { dtype, shape } }): Slot => ({
      name,
      dtype,
      shape: shape.map(toDim),
    }));
    const signature = {
      inputs: describeAll(inputs, placeholders),
      outputs: describeAll(outputs, identities),
    };
    const { nodes, weights } = recorder;
    return { nodes, weights, inputs, outputs, signature, categories, labels };
  } catch (error) {
    if (!(error instanceof OpenValueError) || !at) throw error;
    throw unsupported(at, 'it depends on sizes or values that only a run tells');
  }
}

function unsupported(node: Node, why: string): MaasError {
  return new MaasError('MAAS_MODEL_UNSUPPORTED', `TensorFlow.js cannot carry out ${describe(node)}: ${why}`);
}

const toDim = (size: number): Dim => (size === rows ? 'N' : size % rows === 0 ? `${size / rows}·N` : size);

/** The one size that may be open. */
function openDims(inputs: readonly Value[]): string | undefined {
  const names = [
    ...new Set(inputs.flatMap(({ shape = [] }) => shape.filter((dim) => typeof dim === 'string'))),
  ];
  if (names.length <= 1) return names[0];
  throw new MaasError(
    'MAAS_MODEL_UNSUPPORTED',
    `the sizes ${names.join(', ')} of its inputs are open, and TensorFlow.js gets a graph with one at most`,
    { hint: `Fix the others, as in --dim ${names.at(-1)}=64.` },
  );
}

function toSlot({ name, dtype, shape }: Value, open: string | undefined): Slot {
  const kind = dtype && kindOf(dtype);
  if (!kind || !shape) {
    throw new MaasError(
      'MAAS_MODEL_UNSUPPORTED',
      `TensorFlow.js cannot take the input ${name}: ${kind ? 'its shape is not known' : `it is of type ${dtype ?? 'unknown'}`}`,
      dtype === 'string'
        ? { hint: 'Texts that are looked into stay outside of TensorFlow.js: export with --format onnx.' }
        : {},
    );
  }
  return { name, dtype: kind, shape: shape.map((dim) => (dim === open ? 'N' : dim)) };
}

function kindOf(dtype: DType): DataType | undefined {
  if (['float32', 'float64', 'float16', 'bfloat16'].includes(dtype)) return 'float32';
  if (/^u?int\d+$/.test(dtype)) return 'int32';
  return dtype === 'bool' ? 'bool' : undefined;
}

/** As a SavedModel states them (tensorflow.SignatureDef, meta_graph.proto). */
function describeAll(slots: readonly Slot[], nodes: readonly string[]): object {
  return Object.fromEntries(
    slots.map(({ name, dtype, shape }, index) => [
      name,
      {
        name: `${nodes[index]!}:0`,
        dtype: typeName(dtype),
        tensorShape: shapeOf(shape.map((size) => (typeof size === 'number' ? size : -1))),
      },
    ]),
  );
}
