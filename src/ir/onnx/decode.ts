import { fromBinary } from '@bufbuild/protobuf';
import { MaasError } from '../../errors.js';
import type { Attribute, Graph, Model, Node, Value } from '../graph.js';
import type { Tensor } from '../tensor.js';
import { decodeAttribute, leftoverOf as attributeLeftover } from './attributes.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
} from './onnx.generated.js';
import { encodeRest } from './rest.js';
import { invalid, type Source } from './source.js';
import { decodeTensor, tensorFields } from './tensors.js';
import { decodeValue, leftoverOf as valueLeftover } from './values.js';

/**
 * Reads an ONNX model. Weights are views into `bytes`, which must not change afterwards; external data stays on disk
 * as file ranges under `baseDir`.
 * @throws MaasError MAAS_MODEL_INVALID when the bytes are no whole ONNX model.
 */
export function decodeModel(bytes: Uint8Array, source: Source = {}): Model {
  if (bytes.length === 0) throw invalid(source, 'the model file is empty');
  let proto: ModelProto;
  try {
    // A plain Uint8Array, so that the views are no Buffers either.
    proto = fromBinary(ModelProtoSchema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw invalid(source, `not a whole ONNX model: ${(error as Error).message}`, error);
  }
  if (!proto.graph || proto.irVersion <= 0n || proto.opsetImport.length === 0) {
    throw invalid(source, 'not an ONNX model: it states no graph, IR version or operator set');
  }
  try {
    const rest = encodeRest(ModelProtoSchema, proto, [
      'irVersion',
      'opsetImport',
      'producerName',
      'graph',
      'metadataProps',
    ]);
    return {
      irVersion: Number(proto.irVersion),
      opsets: Object.fromEntries(
        proto.opsetImport.map(({ domain, version }) => [domain === 'ai.onnx' ? '' : domain, Number(version)]),
      ),
      producer: proto.producerName,
      graph: decodeGraph(proto.graph, source, true),
      metadata: Object.fromEntries(proto.metadataProps.map(({ key, value }) => [key, value])),
      ...(rest && { rest }),
    };
  } catch (error) {
    if (error instanceof MaasError) throw error;
    throw invalid(source, `not a whole ONNX model: ${(error as Error).message}`, error);
  }
}

function decodeGraph(proto: GraphProto, source: Source, outermost: boolean): Graph {
  const initializers = new Map<string, Tensor>();
  const kept: TensorProto[] = [];
  for (const part of proto.initializer) {
    if (initializers.has(part.name)) throw invalid(source, `two initializers have the name ${part.name}`);
    initializers.set(part.name, decodeTensor(part, source, outermost));
    const rest = encodeRest(TensorProtoSchema, part, [...tensorFields, 'name']);
    if (rest) kept.push(Object.assign(fromBinary(TensorProtoSchema, rest), { name: part.name }));
  }
  const values = new Map<string, Value>(
    proto.valueInfo.map((part) => [part.name, decodeValue(part, source)]),
  );
  const leftovers = [...proto.input, ...proto.output, ...proto.valueInfo].flatMap((part) => {
    const leftover = valueLeftover(part);
    return leftover ? [leftover] : [];
  });
  const rest = encodeRest(
    GraphProtoSchema,
    proto,
    ['node', 'name', 'initializer', 'input', 'output', 'valueInfo'],
    { ...(kept.length > 0 && { initializer: kept }), ...(leftovers.length > 0 && { valueInfo: leftovers }) },
  );
  return {
    name: proto.name,
    inputs: proto.input.map((part) => decodeValue(part, source)),
    outputs: proto.output.map((part) => decodeValue(part, source)),
    initializers,
    nodes: proto.node.map((part) => decodeNode(part, source)),
    values,
    ...(rest && { rest }),
  };
}

function decodeNode(proto: NodeProto, source: Source): Node {
  const attributes: [string, Attribute][] = [];
  const kept: AttributeProto[] = [];
  for (const part of proto.attribute) {
    const attribute = decodeAttribute(part, source, (graph) => decodeGraph(graph, source, false));
    attributes.push([part.name, attribute]);
    const leftover = attributeLeftover(part, attribute);
    if (leftover) kept.push(leftover);
  }
  const rest = encodeRest(
    NodeProtoSchema,
    proto,
    ['input', 'output', 'name', 'opType', 'domain', 'attribute'],
    kept.length > 0 ? { attribute: kept } : {},
  );
  return {
    op: proto.opType,
    domain: proto.domain === 'ai.onnx' ? '' : proto.domain,
    name: proto.name,
    inputs: proto.input,
    outputs: proto.output,
    attributes: Object.fromEntries(attributes),
    ...(rest && { rest }),
  };
}
