import type { z } from 'zod';
import type { MaasError } from '../../../errors.js';
import type { GraphBuilder } from '../../../ir/builder.js';
import type { Fans, InitializerName } from './initializers.js';

/** One entry of `train.model.layers`, its options checked. */
export interface LayerChoice {
  readonly name: string;
  readonly options: unknown;
}

/** Where a layer is put: the graph so far, and weights for it. */
export interface Site {
  readonly g: GraphBuilder;
  /** Of the layer, such as dense_1: a stem for the names of its nodes. */
  readonly name: string;
  /** Adds a weight `<layer>/<part>` that training may change; returns its name. */
  readonly weight: (
    part: string,
    dims: readonly number[],
    /** By name, or each element by its place, row-major. */
    initializer: InitializerName | ((at: number) => number),
    fans: Fans,
  ) => string;
  /** Adds an array `<layer>/<part>` that gradients leave alone, filled with `value`; returns its name. */
  readonly statistic: (part: string, dims: readonly number[], value: number) => string;
  /** The error for an input or an option that does not fit, at the layer's place in the config. */
  readonly misfit: (message: string, hint: string) => MaasError;
  /** Emits a layer, or a list of layers, inside this one, under its option `key`. */
  readonly nested: (key: string, choices: LayerChoice | readonly LayerChoice[], x: string) => string;
  /** How many ids the data has, where the layer gets ids. */
  readonly ids: number | undefined;
}

/**
 * One kind of layer under `train.model.layers`. A batch of vectors is [N, features], of sequences [N, steps, features],
 * of images [N, channels, height, width], of volumes [N, channels, depth, height, width].
 */
export interface Layer<Options = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** What it reads: numbers float32, unless it says ids, int64. */
  readonly takes?: 'ids';
  /** Emits the layer on `x` and returns the name of its output. */
  emit(site: Site, x: string, options: Options): string;
}

/** A layer of several inputs, which its option `inputs` names. */
export interface MergingLayer<Options = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  merge(site: Site, inputs: readonly string[], options: Options): string;
}
