import type { GraphBuilder } from '../builder.js';

export interface LossInputs {
  /** Class probabilities [N, C], or predicted values [N] or [N, D]. */
  readonly prediction: string;
  /** Class indices (integers, [N]), or values in the prediction's shape. */
  readonly target: string;
}

export interface LossOptions {
  readonly [option: string]: unknown;
  /** How much each class counts, by its index; without them all count alike. */
  readonly classWeights?: readonly number[];
}

export interface Loss {
  readonly summary: string;
  readonly task: 'classification' | 'regression';
  /** Options and what they are when they are left out. */
  readonly defaults: Readonly<Record<string, number | boolean>>;
  /** True when the loss takes `classWeights`. */
  readonly weighsClasses: boolean;
  /** True when it looks at what goes into the last dense layer of a model with one target. */
  readonly embeds?: boolean;
  /**
   * Emits the loss and returns its name: a scalar of the prediction's element type, the mean over the rows.
   * @throws MaasError MAAS_MODEL_SHAPE when prediction and target do not fit together.
   */
  emit(g: GraphBuilder, inputs: LossInputs, options?: LossOptions): string;
}
