import type { DataType } from './tf.js';

/** A value of an attribute as JSON has it (tensorflow.AttrValue, attr_value.proto); text is in base64. */
export type AttrValue =
  | { readonly type: string }
  | { readonly i: string }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly s: string }
  | { readonly shape: TensorShape }
  | { readonly list: { readonly i: readonly string[] } };

/** Sizes, −1 for one that is open (tensorflow.TensorShapeProto). */
export interface TensorShape {
  readonly dim: readonly { readonly size: string }[];
}

export const shapeOf = (sizes: readonly number[]): TensorShape => ({
  dim: sizes.map((size) => ({ size: String(size) })),
});

/** One operation of a TensorFlow graph (tensorflow.NodeDef, node_def.proto). */
export interface NodeDef {
  readonly name: string;
  readonly op: string;
  /** `node`, or `node:2` for an output other than the first. */
  readonly input: readonly string[];
  readonly attr: Readonly<Record<string, AttrValue>>;
}

const typeNames: Readonly<Record<DataType, string>> = {
  float32: 'DT_FLOAT',
  int32: 'DT_INT32',
  bool: 'DT_BOOL',
};

export const typeName = (dtype: DataType): string => typeNames[dtype];

/** Constructors for attributes. */
export const set = {
  type: (dtype: DataType): AttrValue => ({ type: typeNames[dtype] }),
  int: (value: number): AttrValue => ({ i: String(value) }),
  float: (value: number): AttrValue => ({ f: value }),
  flag: (value: boolean): AttrValue => ({ b: value }),
  text: (value: string): AttrValue => ({ s: Buffer.from(value).toString('base64') }),
  ints: (values: readonly number[]): AttrValue => ({ list: { i: values.map(String) } }),
  shape: (sizes: readonly number[]): AttrValue => ({ shape: shapeOf(sizes) }),
};
