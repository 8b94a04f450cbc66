import { describe, expect, it } from 'vitest';
import { signalToNoise } from '../../src/evaluate/metrics.js';
import type { Model } from '../../src/ir/graph.js';
import { printModel } from '../../src/ir/print.js';
import { decodeModel } from '../../src/ir/onnx/load.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import type { Pass, PassContext, Trainer } from '../../src/plugin/api.js';
import type { NdArray } from '../../src/ir/tensor.js';
import { openSession, type Feeds } from '../../src/runtime/session.js';
import { sliceRows } from '../../src/data/rows.js';
import { passModels, type PassModel } from './pass-models.js';

/** A context whose calibration rows are the given ones. */
export function contextOf(feeds: Feeds): PassContext {
  return { calibration: () => Promise.resolve([feeds]), seed: 1 };
}

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

/** Whether a row gives something else alone than it does beside others, among them one with numbers far too large. */
export async function mixesRows(model: Model, feeds: Feeds): Promise<boolean> {
  const rows = Object.values(feeds)[0]!.dims[0]!;
  const crowd = Object.fromEntries(
    Object.entries(feeds).map(([name, { dtype, dims, data }]): [string, NdArray] => {
      const width = data.length / rows;
      const large = Array.from((data as Float32Array).subarray(0, width), (value) => value * 1000);
      const joined = Float32Array.from([...(data as Float32Array), ...large]);
      return [name, { dtype: dtype, dims: [rows + 1, ...dims.slice(1)], data: joined }];
    }),
  );
  const together = await runModel(model, crowd);
  for (let row = 0; row < rows; row++) {
    for (const [name, alone] of Object.entries(await runModel(model, sliceRows(feeds, row, row + 1)))) {
      const beside = together[name]!.slice(row * alone.length, (row + 1) * alone.length);
      const isSame = (value: number | string, index: number): boolean => isClose(value, beside[index]);
      if (together[name]!.length !== alone.length * (rows + 1) || !alone.every(isSame)) return true;
    }
  }
  return false;
}

/** As close as serving asks golden answers to be. */
function isClose(one: number | string, other: number | string | undefined): boolean {
  if (typeof one !== 'number' || typeof other !== 'number') return one === other;
  return Math.abs(one - other) <= 1e-4 * (1 + Math.abs(one));
}

/** What a pass states of its results. */
export interface PassClaims {
  /** A row's answer does not depend on the rows beside it, unless it did before. */
  readonly keepsRowsApart: boolean;
  /** Run again it does more of the same, as one that takes a share of what is there. */
  readonly repeats?: boolean;
  /** It asks for training, which here leaves all weights as they are. */
  readonly trains?: boolean;
}

const idleTrainer: Trainer = {
  batchSize: 8,
  get dataset(): never {
    throw new Error('no pass of the suite looks at the data');
  },
  fit: ({ model }) => Promise.resolve(model),
};

/**
 * What every pass does, on every model: it keeps the model valid and its meaning within `decibels`, changes nothing
 * it was given, gives the same bytes each time, and finds nothing left to do in its own result. Rows stay apart unless
 * the pass states otherwise.
 */
export function describePass(
  pass: Pass,
  options: unknown,
  decibels: number,
  claims: PassClaims = { keepsRowsApart: true },
  models: () => PassModel[] = passModels,
): void {
  describe(`pass ${pass.name} with ${JSON.stringify(options)}`, () => {
    const parsed = pass.options.parse(options);
    const tries = listOf(models).map((listed) => {
      const context = { ...contextOf(listed.feeds), ...(claims.trains && { trainer: idleTrainer }) };
      const run = (given: Model) => pass.run(given, parsed, context);
      return {
        ...listed,
        run,
        // Passes are pure, which some of the tests prove: all look at one and the same result.
        done: once(() => run(listed.model)),
        again: once(async () => {
          // A loaded model's weights are unaligned views of one buffer.
          const model = decodeModel(listed.encoded.slice());
          return { given: model, made: (await run(model)).model };
        }),
      };
    });

    it('changes at least one of the models', async () => {
      const results = await Promise.all(tries.map(({ done }) => done()));
      expect(results.map(({ report }) => report.changed)).toContain(true);
    });

    describe.each(tries)('on $name', ({ model, encoded, feeds, expected, mixes, run, done, again }) => {
      it('keeps the meaning', async () => {
        const { model: after } = await done();
        const [wanted, actual] = [await expected(), await runModel(after, feeds)];
        expect(Object.keys(actual)).toEqual(Object.keys(wanted));
        for (const [name, values] of Object.entries(wanted)) {
          expect(actual[name]).toHaveLength(values.length);
          if (typeof values[0] === 'string') continue;
          expect(signalToNoise(values as number[], actual[name] as number[])).toBeGreaterThan(decibels);
        }
      });

      if (claims.keepsRowsApart) {
        it('keeps rows apart', async () => {
          const { model: after } = await done();
          if (after === model || (await mixes())) return;
          expect(await mixesRows(after, feeds)).toBe(false);
        });
      }

      it('keeps inputs, outputs and metadata', async () => {
        const { model: after } = await done();
        expect(after.graph.inputs).toEqual(model.graph.inputs);
        expect(after.graph.outputs).toEqual(model.graph.outputs);
        expect(after.metadata).toEqual(model.metadata);
      });

      it('does not touch what it was given', async () => {
        await done();
        expect(Buffer.compare(encodeModel(model), encoded)).toBe(0);
        const { given } = await again();
        expect(Buffer.compare(encodeModel(given), encoded)).toBe(0);
      });

      it('gives the same bytes each time', async () => {
        const [one, two] = [(await done()).model, (await again()).made];
        expect(Buffer.compare(encodeModel(one), encodeModel(two))).toBe(0);
      });

      it('says what it did', async () => {
        const { model: after, report } = await done();
        expect(report.changed).toBe(printModel(after) !== printModel(model));
        if (!report.changed) expect(after).toBe(model);
        expect((report.applied ?? []).length > 0).toBe(report.changed);
      });

      it.skipIf(claims.repeats)('has nothing left to do in its own result', async () => {
        const first = await done();
        if (!first.report.changed) return;
        const second = await run(first.model);
        expect(second.report.changed).toBe(false);
        expect(second.model).toBe(first.model);
      });
    });
  });
}

interface Listed extends PassModel {
  /** Its bytes before any pass saw it. */
  readonly encoded: Uint8Array;
  readonly expected: () => ReturnType<typeof runModel>;
  readonly mixes: () => Promise<boolean>;
}

const lists = new Map<() => PassModel[], readonly Listed[]>();

/** The same models for all passes, so that what is known of them is found out once. */
function listOf(models: () => PassModel[]): readonly Listed[] {
  const found = lists.get(models);
  if (found) return found;
  const list = models().map((each) => ({
    ...each,
    encoded: encodeModel(each.model),
    expected: once(() => runModel(each.model, each.feeds)),
    mixes: once(() => mixesRows(each.model, each.feeds)),
  }));
  lists.set(models, list);
  return list;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
