import { readFileSync } from 'node:fs';
import type { KerasArtifacts } from '../../../src/ir/keras/load.js';
import type { WeightSpec } from '../../../src/ir/keras/shards.js';
import type { NdArray } from '../../../src/ir/tensor.js';

interface Packed {
  readonly shape: number[];
  readonly data: string;
}

interface Recorded {
  readonly name: string;
  readonly modelTopology: unknown;
  readonly weightSpecs: WeightSpec[];
  readonly weightData: string;
  readonly inputs: Packed[];
  readonly outputs: Packed[];
}

/** A model, and what TensorFlow.js predicts with it. */
export interface KerasCase {
  readonly name: string;
  readonly artifacts: KerasArtifacts;
  readonly inputs: readonly NdArray<'float32'>[];
  readonly outputs: readonly NdArray<'float32'>[];
}

const recorded = JSON.parse(
  readFileSync(new URL('../../fixtures/keras/layers.json', import.meta.url), 'utf8'),
) as { tfjs: string; cases: Recorded[] };

const unpack = ({ shape, data }: Packed): NdArray<'float32'> => ({
  dtype: 'float32',
  dims: shape,
  data: new Float32Array(new Uint8Array(Buffer.from(data, 'base64')).buffer),
});

/** Version of TensorFlow.js that predicted. */
export const tfjsVersion = recorded.tfjs;

export const kerasCases: readonly KerasCase[] = recorded.cases.map(
  ({ name, modelTopology, weightSpecs, weightData, inputs, outputs }) => ({
    name,
    artifacts: { modelTopology, weightSpecs, weightData: Buffer.from(weightData, 'base64') },
    inputs: inputs.map(unpack),
    outputs: outputs.map(unpack),
  }),
);

export function kerasCase(name: string): KerasCase {
  return kerasCases.find((one) => one.name === name)!;
}
