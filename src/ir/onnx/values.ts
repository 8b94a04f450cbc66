import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Dim, Value } from '../graph.js';
import {
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type TensorShapeProto,
  type TypeProto,
  type ValueInfoProto,
} from './onnx.generated.js';
import { encodeRest } from './rest.js';
import type { Source } from './source.js';
import { codeOf, dtypeOf } from './tensors.js';

/** Reads a value's name and type. A size the file leaves open and unnamed becomes the symbolic size ''. */
export function decodeValue(proto: ValueInfoProto, source: Source): Value {
  const named = { name: proto.name, ...(proto.docString !== '' && { doc: proto.docString }) };
  const type = proto.type?.value;
  if (!proto.type || type?.case === undefined) return named;
  if (type.case !== 'tensorType') return { ...named, opaqueType: toBinary(TypeProtoSchema, proto.type) };
  const dtype = dtypeOf(type.value.elemType, source);
  const shape = type.value.shape && decodeShape(type.value.shape);
  return { ...named, ...(dtype && { dtype }), ...(shape && { shape }) };
}

function decodeShape(shape: TensorShapeProto): Dim[] {
  return shape.dim.map(({ value }) => {
    if (value.case === 'dimParam') return value.value;
    // Some exporters write -1 for an open size.
    return value.case === 'dimValue' && value.value >= 0n ? Number(value.value) : '';
  });
}

/** Denotations and metadata of a value, which `Value` has no place for; undefined when there are none. */
export function leftoverOf(proto: ValueInfoProto): ValueInfoProto | undefined {
  const type = proto.type;
  const dims = type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : [];
  const denoted = type !== undefined && (type.denotation !== '' || dims.some((dim) => dim.denotation !== ''));
  const keep = denoted && type.value.case === 'tensorType' ? { type } : {};
  const bytes = encodeRest(ValueInfoProtoSchema, proto, ['name', 'docString', 'type'], keep);
  return bytes && Object.assign(fromBinary(ValueInfoProtoSchema, bytes), { name: proto.name });
}

export function encodeValue(value: Value, leftover?: ValueInfoProto): ValueInfoProto {
  const proto = create(ValueInfoProtoSchema, { name: value.name });
  if (leftover?.metadataProps.length) proto.metadataProps = leftover.metadataProps;
  if (leftover?.$unknown) proto.$unknown = leftover.$unknown;
  if (value.doc !== undefined) proto.docString = value.doc;
  if (value.opaqueType) proto.type = fromBinary(TypeProtoSchema, value.opaqueType);
  else if (value.dtype) proto.type = encodeType(value, leftover?.type);
  return proto;
}

function encodeType({ dtype, shape }: Value, leftover?: TypeProto): TypeProto {
  const tensorType = create(TypeProto_TensorSchema, { elemType: codeOf(dtype!) });
  const denoted = leftover?.value.case === 'tensorType' ? (leftover.value.value.shape?.dim ?? []) : [];
  if (shape) {
    tensorType.shape = create(TensorShapeProtoSchema);
    tensorType.shape.dim = shape.map((dim, index) => {
      const proto = create(TensorShapeProto_DimensionSchema);
      if (typeof dim === 'number') proto.value = { case: 'dimValue', value: BigInt(dim) };
      else if (dim !== '') proto.value = { case: 'dimParam', value: dim };
      const denotation = denoted.length === shape.length ? denoted[index]!.denotation : '';
      if (denotation !== '') proto.denotation = denotation;
      return proto;
    });
  }
  const type = create(TypeProtoSchema, { value: { case: 'tensorType', value: tensorType } });
  if (leftover && leftover.denotation !== '') type.denotation = leftover.denotation;
  return type;
}
