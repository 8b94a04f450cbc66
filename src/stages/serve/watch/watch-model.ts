import type { ServedModel } from '../../../plugin/api.js';
import type { Feeds } from '../../../runtime/session.js';
import type { NdArray } from '../../../ir/tensor.js';
import { encodeBinary } from '../binary/tensors.js';
import { datatypeOf, encodeData } from '../json/tensors.js';
import type { LoadedModel } from '../loaded-model.js';
import type { DriftWatch } from './drift.js';

type Predict = ServedModel['predict'];

/** Sees each request that was answered. It may throw: the caller gets the answer all the same. */
export type Onlooker = (inputs: Feeds, outputs: Feeds) => void;

/** What is known of a model's drift, beside the model. */
export interface WatchedModel extends LoadedModel {
  readonly drift?: DriftWatch;
}

/** The model, with somebody who looks on. Models that nobody looks at stay as they are, so that it costs them nothing. */
export function watchModel(
  model: LoadedModel,
  onlookers: readonly Onlooker[],
  onBug: (error: unknown) => void,
  drift?: DriftWatch,
): WatchedModel {
  return Object.create(model, {
    drift: { value: drift },
    predict: {
      value: async (...asked: Parameters<Predict>): ReturnType<Predict> => {
        const outputs = await model.predict(...asked);
        for (const look of onlookers) {
          try {
            look(asked[0], outputs);
          } catch (error) {
            onBug(error);
          }
        }
        return outputs;
      },
    },
  }) as WatchedModel;
}

/** A request and its answer as a line of JSON. `maas bench --requests` sends such lines again. */
export function describeSample(
  { name, version }: Pick<ServedModel, 'name' | 'version'>,
  inputs: Feeds,
  outputs: Feeds,
  time = new Date(),
): string {
  const head = JSON.stringify({ time: time.toISOString(), model: name, version });
  return `${head.slice(0, -1)},"inputs":${describeArrays(inputs)},"outputs":${describeArrays(outputs)}}`;
}

function describeArrays(arrays: Feeds): string {
  const all = Object.entries(arrays).map(([name, array]) => {
    const head = JSON.stringify({ name, datatype: datatypeOf(array.dtype), shape: array.dims });
    return `${head.slice(0, -1)},${describeData(array)}}`;
  });
  return `[${all.join(',')}]`;
}

/** bfloat16 has no form in JSON. */
function describeData(array: NdArray): string {
  if (array.dtype !== 'bfloat16') return `"data":${encodeData(array)}`;
  return `"base64":"${Buffer.from(encodeBinary(array)).toString('base64')}"`;
}
