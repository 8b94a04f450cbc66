import { didYouMean } from '../../suggest.js';
import { GraphBuilder } from '../builder.js';
import type { Dim, Model } from '../graph.js';
import { removeDead } from '../rewrite.js';
import type { DType } from '../tensor.js';
import { activations } from './layers/activations.js';
import { convolutions } from './layers/convolution.js';
import { core } from './layers/core.js';
import { poolings } from './layers/pooling.js';
import { recurrents } from './layers/recurrent.js';
import { plain, plainOrder, type Handle } from './order.js';
import { invalidKeras, unsupportedLayer } from './problems.js';
import { Settings } from './settings.js';
import { openSite, type Emitter, type Workshop } from './site.js';
import { isModel, topologyOf, type KerasLayer, type Ref, type Topology } from './topology.js';
import type { KerasWeights, Scope } from './weights.js';

/** All layers that can be imported, by their Keras classes. */
const emitters: Readonly<Record<string, Emitter>> = {
  ...core,
  ...activations,
  ...convolutions,
  ...poolings,
  ...recurrents,
};

const inputTypes: readonly string[] = ['float32', 'int32'] satisfies DType[];

/**
 * Puts a Keras model into a graph. Inputs and outputs have the layout of Keras and the names of their layers; between
 * them images lie as ONNX wants them. Where the file leaves a size open, it stays open.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED for layers and settings that ONNX cannot express, MAAS_MODEL_INVALID.
 */
export function emitKeras(topology: Topology, weights: KerasWeights): Model {
  const g = new GraphBuilder(topology.name);
  const inputs = topology.inputs.map(({ layer: name }) => {
    const layer = topology.layers.find((one) => one.name === name)!;
    const { dtype, shape } = readInput(layer);
    const value = g.input(name, dtype, [
      'N',
      ...shape.map((size, axis): Dim => size ?? `${name}_d${axis + 1}`),
    ]);
    return { value, order: plainOrder(shape.length + 1) };
  });
  const shop: Workshop = {
    g,
    weights,
    added: new Map(),
    emit: (layer, read, scope) => emitLayer(shop, layer, read, scope),
  };
  const outputs = emitModel(shop, topology, inputs, []);
  outputs.forEach((handle, at) => {
    const name = topology.outputs[at]!.layer;
    const value = plain(g, handle);
    // The layer's own name, where no value of the graph has it.
    if (value === name || g.has(name)) g.output(value);
    else g.output(value, name);
  });
  weights.expectAllTaken();
  return { irVersion: 10, opsets: { '': 21 }, producer: 'maas', graph: removeDead(g.build()), metadata: {} };
}

function readInput(layer: KerasLayer): { dtype: 'float32' | 'int32'; shape: (number | null)[] } {
  const settings = new Settings(layer, layer.config);
  const stated = settings.raw('batch_input_shape') ?? settings.raw('batch_shape');
  const isShape = Array.isArray(stated) && stated.every((size) => size === null || typeof size === 'number');
  if (!isShape || stated.length === 0) throw settings.fail('batch_input_shape');
  const dtype = settings.raw('dtype') ?? 'float32';
  if (!inputTypes.includes(dtype as string))
    throw settings.fail('dtype', `maas takes ${inputTypes.join(' and ')}`);
  return { dtype: dtype as 'float32' | 'int32', shape: (stated as (number | null)[]).slice(1) };
}

/** Calls layers as soon as what they read is there, until all that can be called are. */
function emitModel(shop: Workshop, topology: Topology, inputs: readonly Handle[], scope: Scope): Handle[] {
  const given = new Map<string, readonly Handle[]>();
  const keyOf = ({ layer, call }: Pick<Ref, 'layer' | 'call'>) => `${call}:${layer}`;
  const find = (ref: Ref): Handle | undefined => given.get(keyOf(ref))?.[ref.output];
  topology.inputs.forEach((ref, at) => given.set(keyOf(ref), [inputs[at]!]));
  const pending = topology.layers.flatMap((layer) =>
    layer.calls.map((reads, call) => ({ layer, reads, call })),
  );
  let left = pending;
  while (left.length > 0) {
    const later = left.filter(({ layer, reads, call }) => {
      const read = reads.map(find);
      if (read.some((handle) => handle === undefined)) return true;
      given.set(
        keyOf({ layer: layer.name, call }),
        shop.emit(layer, read as Handle[], [...scope, layer.name]),
      );
      return false;
    });
    if (later.length === left.length) break;
    left = later;
  }
  return topology.outputs.map((ref) => {
    const handle = find(ref);
    if (handle) return handle;
    throw invalidKeras(`${topology.name} gives what ${ref.layer} gives, which nothing leads to`);
  });
}

function emitLayer(
  shop: Workshop,
  layer: KerasLayer,
  inputs: readonly Handle[],
  scope: Scope,
): readonly Handle[] {
  if (isModel(layer)) {
    const inner = topologyOf(layer);
    if (inner.inputs.length !== inputs.length) {
      throw unsupportedLayer(layer, `it reads ${inputs.length} values, and takes ${inner.inputs.length}`);
    }
    return emitModel(shop, inner, inputs, scope);
  }
  const emit = Object.hasOwn(emitters, layer.className) ? emitters[layer.className] : undefined;
  if (!emit) {
    const near = didYouMean(layer.className, Object.keys(emitters));
    throw unsupportedLayer(
      layer,
      `maas knows no layer ${layer.className}${near === undefined ? '' : `. ${near}`}`,
    );
  }
  const site = openSite(shop, layer, inputs, scope);
  const given = emit(site);
  site.settings.expectAllRead();
  return Array.isArray(given) ? (given as readonly Handle[]) : [given as Handle];
}
