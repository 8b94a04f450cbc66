import { sizeOf, type NdArray } from '../../ir/tensor.js';
import { headsOf, type Head } from '../heads.js';
import type { Feature, Signature } from '../signature.js';
import type { Counts } from './distribution.js';

/**
 * `reference.json` of a release: how the features of its training rows, and its answers to rows that it was not trained on,
 * are distributed. What a server sees is compared with it.
 */
export interface Reference {
  readonly schemaVersion: 1;
  readonly features: readonly Distribution[];
  readonly predictions: readonly Distribution[];
}

export type Distribution = Counts & {
  readonly name: string;
  /** What of it is counted, where that is not the value itself. */
  readonly of?: Measure;
};

/** Characters of a text; the mean of the elements of an array or of the pixels of an image. */
export type Measure = 'length' | 'mean';

/** One thing that is watched: its name, and how its values lie in the model's arrays. */
export interface Watched {
  readonly name: string;
  readonly of?: Measure;
  readonly type: Counts['type'];
  /** Of row `row` of these inputs or outputs. */
  readonly read: (arrays: Readonly<Record<string, NdArray>>, row: number) => number | string;
}

export function watchedFeatures({ features }: Pick<Signature, 'features'>): Watched[] {
  return features.map((feature): Watched => {
    const { name } = feature;
    if (feature.type === 'category') return { name, type: 'category', read: cellReader(feature) };
    if (feature.type === 'number') return { name, type: 'number', read: cellReader(feature) };
    if (feature.type === 'text') {
      const read = cellReader(feature);
      return { name, type: 'number', of: 'length', read: (arrays, row) => String(read(arrays, row)).length };
    }
    return { name, type: 'number', of: 'mean', read: (arrays, row) => meanOf(arrays[feature.input]!, row) };
  });
}

/** Classification: the label, and the greatest probability as `confidence`. Regression: the number. */
export function watchedPredictions(signature: Pick<Signature, 'task' | 'target' | 'others'>): Watched[] {
  return headsOf(signature).flatMap(watchedHead);
}

function watchedHead({ label, values }: Head): Watched[] {
  if (label === undefined) return [{ name: values, type: 'number', read: outputReader(values) }];
  return [
    { name: label, type: 'category', read: outputReader(label) },
    {
      name: label.replace(/label$/, 'confidence'),
      type: 'number',
      read: ({ [values]: probabilities }, row) => {
        const width = probabilities!.data.length / probabilities!.dims[0]!;
        let greatest = -Infinity;
        for (let at = row * width; at < (row + 1) * width; at++) {
          greatest = Math.max(greatest, Number(probabilities!.data[at]));
        }
        return greatest;
      },
    },
  ];
}

function cellReader({ input, column }: Feature): Watched['read'] {
  return (arrays, row) => {
    const { data, dims } = arrays[input]!;
    return plain(data[row * sizeOf(dims.slice(1)) + column]!);
  };
}

function outputReader(name: string): Watched['read'] {
  return (arrays, row) => plain(arrays[name]!.data[row]!);
}

const plain = (value: number | bigint | string): number | string =>
  typeof value === 'bigint' ? Number(value) : value;

function meanOf({ data, dims }: NdArray, row: number): number {
  const width = sizeOf(dims.slice(1));
  let sum = 0;
  for (let at = row * width; at < (row + 1) * width; at++) sum += Number(data[at]);
  return sum / width;
}
