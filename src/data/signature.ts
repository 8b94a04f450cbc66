import type { DType } from '../ir/tensor.js';
import type { ImageSpec } from './images/spec.js';

/** One raw feature of a row, as a caller of `/predict` writes it, and its place in the model's inputs. */
export interface Feature {
  readonly name: string;
  /**
   * A category is one of few texts, a text is looked into; an array is nested lists of numbers of one `shape`; an image is
   * a file in base64.
   */
  readonly type: 'number' | 'category' | 'text' | 'array' | 'image';
  /** Model input that it goes into. */
  readonly input: string;
  /** Column within that input. */
  readonly column: number;
  /** Of arrays; of images [channels, height, width]. */
  readonly shape?: readonly number[];
  /** Of arrays of ids, how many ids there are: 0 to one less. */
  readonly ids?: number;
  /** How an image becomes the pixels that the model takes, uint8 of `shape`. */
  readonly image?: ImageSpec & {
    /** What read the images of training: another version may round in another way. */
    readonly decoder: string;
  };
  /** Range seen in training data, for numbers. */
  readonly min?: number;
  readonly max?: number;
  /** Values seen in training data, for categories. */
  readonly categories?: readonly string[];
  /** How a row without this feature is read. A feature that has none must be in every request. */
  readonly missing?: {
    /** What stands for it. The model itself fills it in: NaN and each of `written` are read so. '' is a category. */
    readonly fill: number | string;
    /** How the source writes that there is no value. */
    readonly written: readonly string[];
  };
}

export interface Port {
  readonly name: string;
  readonly dtype: DType;
  /** `N` is the batch. */
  readonly shape: readonly (number | string)[];
}

/** What there is to predict. */
export interface TargetFacts {
  readonly name: string;
  readonly task: 'classification' | 'regression';
  readonly labels?: readonly string[];
}

/**
 * `signature.json`: what a model takes and gives in the user's words. It is written by train and handed on unchanged,
 * so that a row is encoded the same way in training, in evaluation and when it is served.
 */
export interface Signature {
  readonly schemaVersion: 1;
  readonly name: string;
  readonly task: 'classification' | 'regression';
  readonly features: readonly Feature[];
  readonly inputs: readonly Port[];
  /**
   * Classification: `label` (string [N]) and `probabilities` (float32 [N, classes]). Regression: `prediction` (float32 [N]).
   * Of several targets each has its own, see `headsOf`.
   */
  readonly outputs: readonly Port[];
  readonly target: { readonly name: string; readonly labels?: readonly string[] };
  /** Further targets; `task` and `target` are of the first. */
  readonly others?: readonly TargetFacts[];
  /** Where the target is what comes after a text: the feature that holds the text, and how many of its characters count. */
  readonly generates?: { readonly feature: string; readonly context: number };
  /** Set where the model gives rows back, and its prediction is how badly: the target is 0 for all. */
  readonly reconstructs?: true;
  /** The data that the model was trained on; evaluation refuses other data. */
  readonly data: { readonly digest: string };
}
