import { isUtf8 } from 'node:buffer';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Attribute, Graph } from '../graph.js';
import {
  AttributeProto_AttributeType as Type,
  AttributeProtoSchema,
  TensorProtoSchema,
  type AttributeProto,
  type GraphProto,
  type TensorProto,
} from './onnx.generated.js';
import { encodeRest } from './rest.js';
import type { Source } from './source.js';
import { decodeTensor, encodeTensor, tensorFields } from './tensors.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

/** Reads an attribute; kinds that maas does not look into stay encoded. */
export function decodeAttribute(
  proto: AttributeProto,
  source: Source,
  decodeGraph: (graph: GraphProto) => Graph,
): Attribute {
  const opaque = (): Attribute => ({ type: 'opaque', value: toBinary(AttributeProtoSchema, proto) });
  // A reference to an attribute of the function around it holds no value.
  if (proto.refAttrName !== '') return opaque();
  switch (proto.type) {
    case Type.FLOAT:
      return { type: 'float', value: proto.f };
    case Type.INT:
      return { type: 'int', value: proto.i };
    case Type.STRING:
      // Custom operators keep binary blobs in string attributes.
      return isUtf8(proto.s) ? { type: 'string', value: text(proto.s) } : opaque();
    case Type.TENSOR:
      return proto.t ? { type: 'tensor', value: decodeTensor(proto.t, source, false) } : opaque();
    case Type.GRAPH:
      return proto.g ? { type: 'graph', value: decodeGraph(proto.g) } : opaque();
    case Type.FLOATS:
      return { type: 'floats', value: proto.floats };
    case Type.INTS:
      return { type: 'ints', value: proto.ints };
    case Type.STRINGS:
      return proto.strings.every((part) => isUtf8(part))
        ? { type: 'strings', value: proto.strings.map(text) }
        : opaque();
    case Type.TENSORS:
      return { type: 'tensors', value: proto.tensors.map((part) => decodeTensor(part, source, false)) };
    case Type.GRAPHS:
      return { type: 'graphs', value: proto.graphs.map(decodeGraph) };
    default:
      return opaque();
  }
}

/** Doc strings and the names of tensors, which `Attribute` has no place for; undefined when there are none. */
export function leftoverOf(proto: AttributeProto, attribute: Attribute): AttributeProto | undefined {
  if (attribute.type === 'opaque') return undefined;
  const parts = (tensors: readonly TensorProto[]): TensorProto[] | undefined => {
    const rests = tensors.map((part) => encodeRest(TensorProtoSchema, part, tensorFields));
    return rests.some(Boolean)
      ? rests.map((rest) => fromBinary(TensorProtoSchema, rest ?? new Uint8Array()))
      : undefined;
  };
  const t = proto.t && parts([proto.t])?.[0];
  const tensors = parts(proto.tensors);
  const values = ['name', 'type', 'f', 'i', 's', 't', 'g', 'floats', 'ints', 'strings', 'tensors', 'graphs'];
  const bytes = encodeRest(AttributeProtoSchema, proto, values, {
    ...(t && { t }),
    ...(tensors && { tensors }),
  });
  return bytes && Object.assign(fromBinary(AttributeProtoSchema, bytes), { name: proto.name });
}

export function encodeAttribute(
  name: string,
  attribute: Attribute,
  leftover: AttributeProto | undefined,
  encodeGraph: (graph: Graph) => GraphProto,
): AttributeProto {
  if (attribute.type === 'opaque') return fromBinary(AttributeProtoSchema, attribute.value);
  const proto = create(AttributeProtoSchema, { name });
  if (leftover && leftover.docString !== '') proto.docString = leftover.docString;
  if (leftover?.$unknown) proto.$unknown = leftover.$unknown;
  switch (attribute.type) {
    case 'float':
      return Object.assign(proto, { type: Type.FLOAT, f: attribute.value });
    case 'int':
      return Object.assign(proto, { type: Type.INT, i: attribute.value });
    case 'string':
      return Object.assign(proto, { type: Type.STRING, s: Buffer.from(attribute.value, 'utf8') });
    case 'tensor':
      return Object.assign(proto, { type: Type.TENSOR, t: encodeTensor(attribute.value, '', leftover?.t) });
    case 'graph':
      return Object.assign(proto, { type: Type.GRAPH, g: encodeGraph(attribute.value) });
    case 'floats':
      return Object.assign(proto, { type: Type.FLOATS, floats: attribute.value });
    case 'ints':
      return Object.assign(proto, { type: Type.INTS, ints: attribute.value });
    case 'strings': {
      const strings = attribute.value.map((part) => Buffer.from(part, 'utf8'));
      return Object.assign(proto, { type: Type.STRINGS, strings });
    }
    case 'tensors': {
      const tensors = attribute.value.map((part, index) => encodeTensor(part, '', leftover?.tensors[index]));
      return Object.assign(proto, { type: Type.TENSORS, tensors });
    }
    case 'graphs':
      return Object.assign(proto, { type: Type.GRAPHS, graphs: attribute.value.map(encodeGraph) });
  }
}
