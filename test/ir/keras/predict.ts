import { expect } from 'vitest';
import type { Model } from '../../../src/ir/graph.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import { openSession } from '../../../src/runtime/session.js';

/** Runs a model; inputs and outputs in the order of its graph. */
export async function runModel(model: Model, inputs: readonly NdArray[]): Promise<NdArray[]> {
  const session = await openSession(encodeModel(model), { threads: 1, optimization: 'basic' });
  try {
    const feeds = model.graph.inputs.map(({ name }, at) => [name, inputs[at]!] as const);
    const given = await session.run(Object.fromEntries(feeds));
    return model.graph.outputs.map(({ name }) => given[name]!);
  } finally {
    await session.close();
  }
}

/** Within 1e-5 of the figure, or of 1 where that is more. */
export function expectNear(found: readonly NdArray[], wanted: readonly NdArray[]): void {
  expect(found.map(({ dims }) => dims)).toEqual(wanted.map(({ dims }) => dims));
  wanted.forEach(({ data }, at) => {
    const far = Array.from(data as Float32Array, (value, index) => {
      const given = Number(found[at]!.data[index]);
      return Math.abs(value - given) / Math.max(1, Math.abs(value));
    });
    // Not `<`: NaN fails too.
    expect(far.every((distance) => distance <= 1e-5) || Math.max(...far)).toBe(true);
  });
}
