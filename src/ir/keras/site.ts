import type { GraphBuilder } from '../builder.js';
import { tensor, type NdArray } from '../tensor.js';
import { plainOrder, type Handle } from './order.js';
import { unsupportedLayer } from './problems.js';
import { Settings } from './settings.js';
import type { KerasLayer } from './topology.js';
import { asTensor, type KerasWeights, type Scope } from './weights.js';

/** One call of a layer: where it is put, and what it reads. */
export interface Site {
  readonly g: GraphBuilder;
  readonly layer: KerasLayer;
  readonly settings: Settings;
  readonly inputs: readonly Handle[];
  /** Names of the models and wrappers around, and the layer's own. */
  readonly scope: Scope;
  /** The layer's weight in the shape of Keras, or undefined where the file has none. */
  find(part: string): NdArray | undefined;
  /**
   * The same, or that of a layer inside.
   * @throws MaasError MAAS_MODEL_UNSUPPORTED where the file has none, or one of another shape.
   */
  expect(part: string, dims: readonly number[], inside?: string): NdArray;
  /** Adds a weight `layer/part` to the graph: once, however often the layer is called. Returns its name. */
  weight(part: string, make: () => NdArray): string;
  /** Emits another layer inside this one. */
  inner(layer: KerasLayer, inputs: readonly Handle[], scope?: Scope): readonly Handle[];
}

/** Emits a layer and returns what it gives. */
export type Emitter = (site: Site) => Handle | readonly Handle[];

/** What all sites of a model share. */
export interface Workshop {
  readonly g: GraphBuilder;
  readonly weights: KerasWeights;
  /** Names of the weights that are in the graph, by scope and part. */
  readonly added: Map<string, string>;
  readonly emit: (layer: KerasLayer, inputs: readonly Handle[], scope: Scope) => readonly Handle[];
}

export function openSite(shop: Workshop, layer: KerasLayer, inputs: readonly Handle[], scope: Scope): Site {
  const { g, weights, added } = shop;
  return {
    g,
    layer,
    settings: new Settings(layer, layer.config),
    inputs,
    scope,
    find: (part) => weights.find(scope, part),
    expect(part, dims, inside) {
      const path = inside === undefined ? scope : [...scope, inside];
      const found = weights.find(path, part);
      if (!found) throw unsupportedLayer(layer, `the file has no weight ${path.join('/')}/${part}`);
      if (found.dims.join() !== dims.join()) {
        const shapes = `[${found.dims.join(', ')}], and the layer wants [${dims.join(', ')}]`;
        throw unsupportedLayer(layer, `its weight ${part} is ${shapes}`);
      }
      return found;
    },
    weight(part, make) {
      const key = [...scope, part].join('/');
      const there = added.get(key);
      if (there !== undefined) return there;
      const name = g.initializer(g.unique(`${layer.name}/${part}`), asTensor(make()));
      added.set(key, name);
      return name;
    },
    inner: (other, read, names = [...scope, other.name]) => shop.emit(other, read, names),
  };
}

/** The one input of most layers. @throws MaasError MAAS_MODEL_UNSUPPORTED when there are several. */
export function only({ layer, inputs }: Site): Handle {
  const [x, ...others] = inputs;
  if (x && others.length === 0) return x;
  throw unsupportedLayer(layer, `it reads ${inputs.length} values, and takes one`);
}

/** The one input, which must have one of these numbers of axes, the batch included. */
export function ranked(site: Site, ...ranks: readonly number[]): Handle {
  const x = only(site);
  if (ranks.includes(x.order.length)) return x;
  throw unsupportedLayer(
    site.layer,
    `it reads a value of ${x.order.length} axes, and takes ${ranks.join(' or ')}`,
  );
}

/** A value in Keras' own order. */
export const handleOf = (g: GraphBuilder, value: string): Handle => ({
  value,
  order: plainOrder(g.rankOf(value)),
});

export const vector = (values: readonly number[]): NdArray => ({
  dtype: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});

export const constant = (g: GraphBuilder, values: readonly number[], dims = [values.length]): string =>
  g.constant(tensor('float32', dims, Float32Array.from(values)));
