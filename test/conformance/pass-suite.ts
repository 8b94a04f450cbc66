import { describe, expect, it } from 'vitest';
import { signalToNoise } from '../../src/evaluate/metrics.js';
import type { Model } from '../../src/ir/graph.js';
import { printModel } from '../../src/ir/print.js';
import { decodeModel } from '../../src/ir/onnx/load.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import type { Pass, PassContext } from '../../src/plugin/api.js';
import { openSession, type Feeds } from '../../src/runtime/session.js';
import { signatureOf } from '../evaluate/models.js';
import { passModels } from './pass-models.js';

export const passContext: PassContext = {
  signature: signatureOf('classification'),
  calibration: () => Promise.reject(new Error('this pass needs no data')),
  seed: 1,
};

export async function runModel(model: Model, feeds: Feeds): Promise<Record<string, number[] | string[]>> {
  const session = await openSession(encodeModel(model));
  try {
    const outputs = Object.entries(await session.run(feeds));
    return Object.fromEntries(
      outputs.map(([name, { dtype, data }]) => [
        name,
        dtype === 'string' ? (data as string[]) : Array.from(data as ArrayLike<number>, Number),
      ]),
    );
  } finally {
    await session.close();
  }
}

/**
 * What every pass does, on every model: it keeps the model valid and its meaning within `decibels`, changes nothing
 * it was given, gives the same bytes each time, and finds nothing left to do in its own result.
 */
export function describePass(pass: Pass, options: unknown, decibels: number): void {
  describe(`pass ${pass.name} with ${JSON.stringify(options)}`, () => {
    const parsed = pass.options.parse(options);
    const run = (model: Model) => pass.run(model, parsed, passContext);

    it('changes at least one of the models', async () => {
      const reports = await Promise.all(
        passModels().map(async ({ model }) => (await run(model)).report.changed),
      );
      expect(reports).toContain(true);
    });

    describe.each(passModels())('on $name', ({ model, feeds }) => {
      it('keeps the meaning', async () => {
        const { model: after } = await run(model);
        const [expected, actual] = [await runModel(model, feeds), await runModel(after, feeds)];
        expect(Object.keys(actual)).toEqual(Object.keys(expected));
        for (const [name, values] of Object.entries(expected)) {
          expect(actual[name]).toHaveLength(values.length);
          if (typeof values[0] === 'string') continue;
          expect(signalToNoise(values as number[], actual[name] as number[])).toBeGreaterThan(decibels);
        }
      });

      it('keeps inputs, outputs and metadata', async () => {
        const { model: after } = await run(model);
        expect(after.graph.inputs).toEqual(model.graph.inputs);
        expect(after.graph.outputs).toEqual(model.graph.outputs);
        expect(after.metadata).toEqual(model.metadata);
      });

      it('does not touch what it was given', async () => {
        const before = encodeModel(model);
        const again = decodeModel(before.slice());
        await run(model);
        expect(Buffer.compare(encodeModel(model), before)).toBe(0);
        // A loaded model's weights are unaligned views of one buffer.
        await run(again);
        expect(Buffer.compare(encodeModel(again), before)).toBe(0);
      });

      it('gives the same bytes each time', async () => {
        const [one, two] = [(await run(model)).model, (await run(decodeModel(encodeModel(model)))).model];
        expect(Buffer.compare(encodeModel(one), encodeModel(two))).toBe(0);
      });

      it('says what it did', async () => {
        const { model: after, report } = await run(model);
        expect(report.changed).toBe(printModel(after) !== printModel(model));
        if (!report.changed) expect(after).toBe(model);
        expect((report.applied ?? []).length > 0).toBe(report.changed);
      });

      it('has nothing left to do in its own result', async () => {
        const first = await run(model);
        const second = await run(first.model);
        expect(second.report.changed).toBe(false);
        expect(second.model).toBe(first.model);
      });
    });
  });
}
