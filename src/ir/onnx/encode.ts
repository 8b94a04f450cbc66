import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Graph, Model, Node } from '../graph.js';
import type { FileRange, Tensor } from '../tensor.js';
import { encodeAttribute } from './attributes.js';
import type { ExternalEntry } from './external.js';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProtoSchema,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './onnx.generated.js';
import { byName, decodeRest } from './rest.js';
import { encodeHeader, encodeTensor } from './tensors.js';
import { encodeValue } from './values.js';

/** A run of bytes of the file to write: in memory, or to be copied from another file. */
export type Part = Uint8Array | FileRange;

/** Where a weight lies when it is not in the model file itself. */
export type Placing = ReadonlyMap<string, ExternalEntry>;

export function lengthOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/**
 * A model as the parts of its file. The outermost graph's weights are parts of their own, so that nobody copies them:
 * protobuf lets a message's fields come in any order and in pieces, which puts them behind the rest of their tensor.
 */
export function encodeParts(model: Model, placing: Placing = new Map()): Part[] {
  const proto = decodeRest(ModelProtoSchema, model.rest);
  proto.irVersion = BigInt(model.irVersion);
  if (model.producer !== '') proto.producerName = model.producer;
  proto.opsetImport = Object.entries(model.opsets).map(([domain, version]) =>
    create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) }),
  );
  proto.metadataProps = Object.entries(model.metadata).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value }),
  );
  const graph = encodeOutermost(model.graph, placing);
  return [toBinary(ModelProtoSchema, proto), prefix(ModelProtoSchema.field.graph.number, graph), ...graph];
}

/** Tag and length in front of a field that is bytes or a message. */
function prefix(field: number, parts: readonly Part[]): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(lengthOf(parts)).finish();
}

function encodeOutermost(graph: Graph, placing: Placing): Part[] {
  const { proto, leftovers } = graphShell(graph);
  const weights = [...graph.initializers].flatMap(([name, constant]) => {
    const parts = tensorParts(constant, name, leftovers.get(name), placing.get(name));
    return [prefix(GraphProtoSchema.field.initializer.number, parts), ...parts];
  });
  return [toBinary(GraphProtoSchema, proto), ...weights];
}

function tensorParts(
  constant: Tensor,
  name: string,
  leftover: TensorProto | undefined,
  external: ExternalEntry | undefined,
): Part[] {
  const header = toBinary(TensorProtoSchema, encodeHeader(constant, name, leftover, external));
  if (external || constant.dtype === 'string') return [header];
  const data = constant.data as Part;
  return [header, prefix(TensorProtoSchema.field.rawData.number, [data]), data];
}

/** The graph without its initializers, and what `rest` keeps of those. */
function graphShell(graph: Graph): { proto: GraphProto; leftovers: ReadonlyMap<string, TensorProto> } {
  const proto = decodeRest(GraphProtoSchema, graph.rest);
  const leftovers = byName(proto.initializer);
  const kept: ReadonlyMap<string, ValueInfoProto> = byName(proto.valueInfo);
  const encode = (value: Graph['inputs'][number]) => encodeValue(value, kept.get(value.name));
  if (graph.name !== '') proto.name = graph.name;
  proto.node = graph.nodes.map(encodeNode);
  proto.initializer = [];
  proto.input = graph.inputs.map(encode);
  proto.output = graph.outputs.map(encode);
  proto.valueInfo = [...graph.values.values()].map(encode);
  return { proto, leftovers };
}

function encodeGraph(graph: Graph): GraphProto {
  const { proto, leftovers } = graphShell(graph);
  proto.initializer = [...graph.initializers].map(([name, constant]) =>
    encodeTensor(constant, name, leftovers.get(name)),
  );
  return proto;
}

function encodeNode(node: Node): NodeProto {
  const proto = decodeRest(NodeProtoSchema, node.rest);
  const leftovers = byName(proto.attribute);
  proto.opType = node.op;
  if (node.name !== '') proto.name = node.name;
  if (node.domain !== '') proto.domain = node.domain;
  proto.input = [...node.inputs];
  proto.output = [...node.outputs];
  proto.attribute = Object.entries(node.attributes).map(([name, attribute]) =>
    encodeAttribute(name, attribute, leftovers.get(name), encodeGraph),
  );
  return proto;
}
