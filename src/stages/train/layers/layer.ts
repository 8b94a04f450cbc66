import type { z } from 'zod';
import type { GraphBuilder } from '../../../ir/builder.js';
import type { Fans, InitializerName } from './initializers.js';

/** Where a layer is put: the graph so far, and weights for it. */
export interface Site {
  readonly g: GraphBuilder;
  /** Of the layer, such as dense_1: a stem for the names of its nodes. */
  readonly name: string;
  /** Adds a weight `<layer>/<part>` that training may change; returns its name. */
  readonly weight: (
    part: string,
    dims: readonly number[],
    initializer: InitializerName,
    fans: Fans,
  ) => string;
}

/** One kind of layer under `train.model.layers`. */
export interface Layer<Options = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** Emits the layer on `x`, [N, features], and returns the name of its output. */
  emit(site: Site, x: string, options: Options): string;
}
