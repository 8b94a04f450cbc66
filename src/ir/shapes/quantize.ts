import { numberAttribute, numbersAttribute } from '../graph.js';
import { dtypeAttribute } from './elementwise.js';
import { typed, type ShapeRule, type ShapeRules } from './rule.js';

const quantize: ShapeRule = (site) =>
  typed(site.dtype(2) ?? dtypeAttribute(site, 'output_dtype', 'uint8'), site.shape(0));
const dequantize: ShapeRule = (site) => typed(site.dtype(1) ?? 'float32', site.shape(0));

export const quantization: ShapeRules = {
  QuantizeLinear: quantize,
  'com.microsoft:QuantizeLinear': quantize,
  DequantizeLinear: dequantize,
  'com.microsoft:DequantizeLinear': dequantize,
  DynamicQuantizeLinear: (site) => [
    ...typed('uint8', site.shape(0)),
    { dtype: 'float32', shape: [] },
    { dtype: 'uint8', shape: [] },
  ],
};

export const classic: ShapeRules = {
  'ai.onnx.ml:LabelEncoder': (site) => {
    const names = Object.keys(site.node.attributes);
    const values = site.node.attributes['values_tensor'];
    if (values?.type === 'tensor') return typed(values.value.dtype, site.shape(0));
    if (names.includes('values_strings')) return typed('string', site.shape(0));
    if (names.includes('values_int64s')) return typed('int64', site.shape(0));
    if (names.includes('values_floats')) return typed('float32', site.shape(0));
    // Version 1: `classes_strings` maps to whichever of string and int64 the input is not.
    return typed(site.dtype(0) && (site.dtype(0) === 'string' ? 'int64' : 'string'), site.shape(0));
  },
  'ai.onnx.ml:OneHotEncoder': (site) => {
    const integers = numbersAttribute(site.node, 'cats_int64s');
    const strings = site.node.attributes['cats_strings'];
    const count = integers?.length ?? (strings?.type === 'strings' ? strings.value.length : undefined);
    const shape = site.shape(0);
    return typed('float32', shape && [...shape, count ?? site.fresh(shape.length)]);
  },
  'ai.onnx.ml:Scaler': (site) => typed('float32', site.shape(0)),
  'ai.onnx.ml:Normalizer': (site) => typed('float32', site.shape(0)),
  'ai.onnx.ml:Imputer': (site) => typed(site.dtype(0), site.shape(0)),
  'ai.onnx.ml:Binarizer': (site) => typed(site.dtype(0), site.shape(0)),
  /** Without stop words nothing is left out. */
  StringNormalizer: (site) =>
    typed('string', 'stopwords' in site.node.attributes ? undefined : site.shape(0)),
  /** As many tokens as the longest text has. */
  'com.microsoft:Tokenizer': (site) => {
    const shape = site.shape(0);
    return typed('string', shape && [...shape, site.fresh(shape.length)]);
  },
  'com.microsoft:MurmurHash3': (site) =>
    typed(numberAttribute(site.node, 'positive', 1) === 1 ? 'uint32' : 'int32', site.shape(0)),
  TfIdfVectorizer: (site) => {
    const indices = numbersAttribute(site.node, 'ngram_indexes') ?? [];
    const width = indices.reduce((most, index) => Math.max(most, index), -1) + 1;
    return typed('float32', site.shape(0)?.slice(0, -1).concat(width));
  },
};
