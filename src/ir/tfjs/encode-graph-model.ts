import type { GraphModel } from './graph-model.js';

/** Bytes of a file of weights: the size at which browsers fetch and keep them well, as TensorFlow.js' converter has it. */
const shardSize = 4 * 2 ** 20;

/**
 * The files of a graph model: model.json, and files with weights that it names.
 * @param producer Goes into `convertedBy`.
 */
export function encodeGraphModel(
  { nodes, weights, outputs, signature }: GraphModel,
  producer: string,
): Map<string, Uint8Array> {
  const bytes = weights.map(
    ({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  );
  const all = Buffer.concat(bytes);
  const count = Math.ceil(all.length / shardSize);
  const paths = Array.from({ length: count }, (_, at) => `group1-shard${at + 1}of${count}.bin`);
  const description = {
    format: 'graph-model',
    generatedBy: producer,
    convertedBy: producer,
    signature,
    // `predict` then gives several outputs by name.
    ...(outputs.length > 1 && {
      userDefinedMetadata: { structuredOutputKeys: outputs.map(({ name }) => name) },
    }),
    modelTopology: { node: nodes, library: {}, versions: { producer: 1882 } },
    weightsManifest: [{ paths, weights: weights.map(({ name, dtype, shape }) => ({ name, dtype, shape })) }],
  };
  return new Map([
    ['model.json', Buffer.from(JSON.stringify(description))],
    ...paths.map((path, at): [string, Uint8Array] => [
      path,
      all.subarray(at * shardSize, (at + 1) * shardSize),
    ]),
  ]);
}
