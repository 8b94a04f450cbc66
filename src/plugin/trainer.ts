import type { Dataset } from '../data/dataset.js';
import type { Model } from '../ir/graph.js';
import type { Objective } from './engine.js';

/**
 * The door from a pass to training. Stages do not import each other: what a pass hands over here is trained by the engine
 * `onnx` of the registry, on the rows and with the loss of the project. A pass says what it wants in the graph itself:
 * weights behind a mask, roundings with straight-through gradients, a teacher beside its student.
 */
export interface Trainer {
  readonly dataset: Dataset;
  /** Rows of an update in the training before. */
  readonly batchSize: number;
  /**
   * Trains on. A fit that was killed goes on from its last checkpoint when the same work is done again.
   * @returns the model with other weights.
   * @throws MaasError MAAS_TRAIN_DIVERGED, MAAS_MODEL_UNSUPPORTED, MAAS_INTERRUPTED, and what engines throw.
   */
  fit(order: FitOrder): Promise<Model>;
}

export interface FitOrder {
  /** Takes and gives what the signature says. */
  readonly model: Model;
  /** Initializers that may change. Default: all that are weights by their use. */
  readonly trainable?: readonly string[];
  /** What the model itself adds to the loss of the project. */
  readonly objective?: Objective;
  /** Trains on the rows without a target, too, which the loss of the project cannot look at: for objectives of share 0. */
  readonly unlabelled?: boolean;
  readonly epochs: number;
  readonly learningRate: number;
  /** Default: that of the training before. */
  readonly batchSize?: number | undefined;
  /** Stops this fit alone. */
  readonly signal?: AbortSignal;
}
