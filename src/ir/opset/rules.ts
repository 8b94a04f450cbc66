import { attr, numberAttribute, numbersAttribute, stringAttribute } from '../graph.js';
import type { OpsetRule, Site } from './rule.js';

/** An attribute of integers that became the input at `index`. */
const toInput =
  (name: string, index: number): OpsetRule =>
  (site) =>
    name in site.node.attributes
      ? site.with({ inputs: site.inputs({ [index]: site.integers(name) }), attributes: site.without(name) })
      : undefined;

const untyped = 'the type of its input is not known';

/** 11: the bounds of a Clip became inputs. */
const clip: OpsetRule = (site) => {
  const bounds: Record<number, string> = {};
  for (const [index, name] of [
    [1, 'min'],
    [2, 'max'],
  ] as const) {
    if (!(name in site.node.attributes)) continue;
    const bound = site.scalarLikeInput(name, numberAttribute(site.node, name, 0));
    if (bound === undefined) return untyped;
    bounds[index] = bound;
  }
  return site.with({ inputs: site.inputs(bounds), attributes: site.without('min', 'max') });
};

/** 11: the widths and the value of a Pad became inputs. */
const pad: OpsetRule = (site) => {
  const value = numberAttribute(site.node, 'value', 0);
  const filled = value === 0 ? '' : site.scalarLikeInput('value', value);
  if (filled === undefined) return untyped;
  const inputs = site.inputs({ 1: site.integers('pads'), 2: filled });
  return site.with({ inputs, attributes: site.without('pads', 'value') });
};

/** 10: the bounds of a Slice became inputs. */
const slice: OpsetRule = (site) => {
  const [starts, ends, axes] = ['starts', 'ends', 'axes'].map((name) => site.integers(name)) as [
    string,
    string,
    string,
  ];
  return site.with({
    inputs: site.inputs({ 1: starts, 2: ends, 3: axes }),
    attributes: site.without('starts', 'ends', 'axes'),
  });
};

/** 10: the number of TopK became an input. */
const topK: OpsetRule = (site) =>
  site.with({
    inputs: site.inputs({ 1: site.sizes('k', [numberAttribute(site.node, 'k', 1)]) }),
    attributes: site.without('k'),
  });

/** 10: Upsample became Resize, which may shrink as well. */
const upsample: OpsetRule = (site) => {
  site.around.enlarged.add(site.node.outputs[0]!);
  return site.with({ op: 'Resize' });
};

/**
 * 11: Resize takes a region, and says how places are found. Before, the place in the input was that in the output over the scale,
 * and the nearest one was the one below it where the output is larger, and the one above it where it is smaller.
 */
const resize: OpsetRule = (site) => {
  const mode = stringAttribute(site.node, 'mode', 'nearest');
  const region = site.around.place('roi', 'none', { dtype: 'float32', dims: [0], data: new Uint8Array(0) });
  const attributes = {
    ...site.node.attributes,
    coordinate_transformation_mode: attr.string('asymmetric'),
  };
  const inputs = [site.node.inputs[0]!, region, site.node.inputs[1]!];
  if (mode !== 'nearest') return site.with({ inputs, attributes });
  const scales = site.around.enlarged.has(site.node.outputs[0]!) ? [1] : site.numbersAt(1);
  if (!scales) return 'whether it enlarges or shrinks is not known beforehand';
  const enlarges = scales.every((scale) => scale >= 1);
  if (!enlarges && scales.some((scale) => scale > 1)) return 'it enlarges one axis and shrinks another';
  const nearest = attr.string(enlarges ? 'floor' : 'ceil');
  return site.with({ inputs, attributes: { ...attributes, nearest_mode: nearest } });
};

/** 13: sizes and scales may not both be there, and regions only where they are used. */
const resizeOptional: OpsetRule = (site) => {
  const mode = stringAttribute(site.node, 'coordinate_transformation_mode', 'half_pixel');
  if (mode === 'tf_half_pixel_for_nn') return 'operator set 13 took its coordinate_transformation_mode away';
  const left: Record<number, string> = {};
  if (mode !== 'tf_crop_and_resize') left[1] = '';
  if (site.has(3)) left[2] = '';
  return site.with({ inputs: site.inputs(left) });
};

/**
 * 13: Softmax and its kin go along one axis, where they went over all axes from one on, as over one.
 * Example: Softmax(x) {axis: 1} of x [N, 4, 8] → Reshape(Softmax(Flatten(x)) {axis: -1}, Shape(x)).
 */
const alongOne: OpsetRule = (site) => {
  const { node, around } = site;
  const given = numberAttribute(node, 'axis', 1);
  const shape = around.typeOf(node.inputs[0]!)?.shape;
  const axis = shape && given < 0 ? given + shape.length : given;
  const along = (at: number) => ({ ...node.attributes, axis: attr.int(at) });
  const rest = shape?.slice(axis + 1);
  if (axis === -1 || rest?.every((size) => size === 1)) return site.with({ attributes: along(given) });
  const output = node.outputs[0]!;
  const [sizes, flat, done] = ['shape', 'flat', 'along'].map((part) => around.fresh(`${output}_${part}`)) as [
    string,
    string,
    string,
  ];
  const plain = { domain: '', attributes: {} };
  const name = (op: string): string => around.fresh(`${node.name || output}_${op}`);
  return [
    { ...plain, op: 'Shape', name: name('Shape'), inputs: [node.inputs[0]!], outputs: [sizes] },
    {
      ...plain,
      op: 'Flatten',
      name: name('Flatten'),
      inputs: [node.inputs[0]!],
      outputs: [flat],
      attributes: { axis: attr.int(given) },
    },
    { ...node, inputs: [flat], outputs: [done], attributes: along(-1) },
    { ...plain, op: 'Reshape', name: name('Reshape'), inputs: [done, sizes], outputs: [output] },
  ];
};

/** 9: statistics of each activation, instead of each channel, went. */
const normalizeChannels: OpsetRule = (site) =>
  numberAttribute(site.node, 'spatial', 1) === 0
    ? 'it normalizes each activation by itself (spatial is 0)'
    : site.with({ attributes: site.without('spatial') });

/** 14: whether a BatchNormalization trains is an attribute, no longer told by its outputs. */
const normalizeAsServed: OpsetRule = (site) => {
  if (site.node.outputs.some((_, index) => index > 0 && site.asks(index)))
    return 'it gives the statistics of training';
  return site.with({ outputs: site.node.outputs.slice(0, 1) });
};

/** 10: the mask of a Dropout became boolean. */
const dropoutMask: OpsetRule = (site) => (site.asks(1) ? 'its mask is read, as numbers' : undefined);

/** 12: the ratio of a Dropout became an input, which counts in training only. */
const dropoutRatio: OpsetRule = (site) => site.with({ attributes: site.without('ratio') });

/** 18: how many parts a Split has is said where their sizes are not. */
const splitEvenly: OpsetRule = (site) =>
  site.has(1)
    ? undefined
    : site.with({
        attributes: { ...site.node.attributes, num_outputs: attr.int(site.node.outputs.length) },
      });

/** 20: the axis of a DFT became an input, and counts from the end by default. */
const transformAxis: OpsetRule = (site) =>
  site.with({
    inputs: site.inputs({ 2: placeAxis(site, numberAttribute(site.node, 'axis', 1)) }),
    attributes: site.without('axis'),
  });

function placeAxis(site: Site, axis: number): string {
  return site.around.place('axis', `scalar ${axis}`, {
    dtype: 'int64',
    dims: [],
    data: new Uint8Array(BigInt64Array.of(BigInt(axis)).buffer),
  });
}

const sampling: Readonly<Record<string, string>> = { bilinear: 'linear', bicubic: 'cubic' };

/** 20: the modes of a GridSample have other names. */
const sampleModes: OpsetRule = (site) => {
  const mode = stringAttribute(site.node, 'mode', 'bilinear');
  return site.with({ attributes: { ...site.node.attributes, mode: attr.string(sampling[mode] ?? mode) } });
};

/** 16: places of a RoiAlign are those of the middles of pixels by default. */
const alignCorners: OpsetRule = (site) =>
  site.with({
    attributes: {
      ...site.node.attributes,
      coordinate_transformation_mode: attr.string('output_half_pixel'),
    },
  });

/** 19: an average over a window that reaches beyond the padding counts fewer elements. */
const averageBeyond: OpsetRule = (site) => {
  const rounded = numberAttribute(site.node, 'ceil_mode', 0) === 1;
  const counted = numberAttribute(site.node, 'count_include_pad', 0) === 1;
  return rounded && counted && numbersAttribute(site.node, 'pads')
    ? 'it counts elements beyond its padding'
    : undefined;
};

const reductions = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'];

/**
 * What a version of ai.onnx changed of an operator such that a node of the version before means something else, or nothing; from
 * operator set 8 on. Further types, optional inputs and attributes whose defaults keep the meaning are not listed. Source: the
 * changelog of the ONNX specification (docs/Changelog.md) and the operators' former definitions.
 */
export const opsetRules: Readonly<Record<number, Readonly<Record<string, OpsetRule>>>> = {
  9: {
    BatchNormalization: normalizeChannels,
    Scan: () => 'operator set 9 took the batches of Scan away',
    Upsample: (site) =>
      site.with({ inputs: site.inputs({ 1: site.floats('scales') }), attributes: site.without('scales') }),
  },
  10: { Dropout: dropoutMask, Slice: slice, TopK: topK, Upsample: upsample },
  11: { Clip: clip, Pad: pad, Resize: resize, Scatter: (site) => site.with({ op: 'ScatterElements' }) },
  12: { Dropout: dropoutRatio },
  13: {
    Hardmax: alongOne,
    LogSoftmax: alongOne,
    ReduceSum: toInput('axes', 1),
    Resize: resizeOptional,
    Softmax: alongOne,
    Split: toInput('split', 1),
    Squeeze: toInput('axes', 1),
    Unsqueeze: toInput('axes', 1),
  },
  14: { BatchNormalization: normalizeAsServed },
  16: { RoiAlign: alignCorners },
  18: {
    ...Object.fromEntries(reductions.map((name) => [`Reduce${name}`, toInput('axes', 1)])),
    Split: splitEvenly,
  },
  19: { AveragePool: averageBeyond },
  20: { DFT: transformAxis, GridSample: sampleModes },
  21: { GroupNormalization: () => 'it scales groups, and operator set 21 scales channels' },
};
