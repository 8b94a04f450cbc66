import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definePass } from '../../../src/plugin/api.js';
import { giveWay } from '../../../src/runtime/give-way.js';
import { frontOf, type Candidate } from '../../../src/stages/compress/auto/candidate.js';
import { choose } from '../../../src/stages/compress/auto/choose.js';
import { compressOptions, type Gates } from '../../../src/stages/compress/config.js';
import { failsSurely } from '../../../src/stages/compress/gates.js';
import { cleanupPasses, foldPass, quantizePass } from '../../../src/stages/compress/index.js';
import { classifier } from '../../evaluate/models.js';
import { makeCompressBench } from './bench.js';

const relaxed = { latency: { maxRatio: 100 } };

interface AutoReport {
  readonly auto: {
    readonly chosen: string;
    readonly tried: readonly { name: string; excluded: string[]; sizeRatio: number; failed: string[] }[];
    readonly sensitivities: readonly { node: string; signalToNoise: number }[];
  };
  readonly size: { readonly ratio: number };
}

async function readReport(artifact: string): Promise<AutoReport> {
  return JSON.parse(await readFile(join(artifact, 'report.json'), 'utf8')) as AutoReport;
}

describe('auto', () => {
  it('takes the smallest recipe that keeps to the gates, and tells what it tried', async () => {
    const bench = await makeCompressBench(classifier());
    const [, outcome] = await bench.run({ auto: { goal: 'size', budget: 3 }, gates: relaxed });
    const { auto, size } = await readReport(outcome!.artifact!);
    expect(auto.tried[0]).toMatchObject({ name: 'unchanged', failed: [], sizeRatio: 1 });
    const passing = auto.tried.filter(({ failed }) => failed.length === 0);
    expect(passing.length).toBeGreaterThan(1);
    expect(new Set(auto.tried.map(({ name }) => name)).size).toBe(auto.tried.length);
    expect(size.ratio).toBe(Math.min(...passing.map(({ sizeRatio }) => sizeRatio)));
    expect(outcome!.notes.join()).toContain(auto.chosen);
    const { tried } = outcome!.measured['auto'] as { tried: { timeRatio?: number; front: boolean }[] };
    expect(tried.some(({ front }) => front)).toBe(true);
    expect(tried.every(({ timeRatio = 1 }) => timeRatio > 0)).toBe(true);
  });

  it('leaves the layers alone that move the outputs most', async () => {
    const bench = await makeCompressBench(classifier());
    // The middle layer holds nearly all weights: without it 4 bits keep what they must.
    const gates = { ...relaxed, signalToNoise: { min: 44 } };
    const passes = [foldPass, quantizePass, ...cleanupPasses];
    const { auto: settings } = compressOptions({
      passes: new Map(passes.map((pass) => [pass.name, pass])),
    }).parse('auto');
    expect(settings).toEqual({ goal: 'latency', budget: 120 });
    const briefly = { goal: 'size', budget: 1.5 };
    const failure = bench.run({ auto: briefly, gates: { ...gates, size: { maxRatio: 0.3 } } });
    await expect(failure).rejects.toMatchObject({ code: 'MAAS_GATE_FAILED' });
    const [, outcome] = await bench.run({ auto: briefly, gates });
    const { auto } = await readReport(outcome!.artifact!);
    expect(auto.tried.some(({ failed }) => failed.includes('signalToNoise'))).toBe(true);
    expect(auto.tried.find(({ name }) => name === auto.chosen)!.failed).toEqual([]);
  });

  it('gives up what it is at when its time is over, and ends with what it has', async () => {
    const endless = definePass<Record<string, never>>({
      ...{ name: 'pruneUnits', summary: 'never end', version: 1 },
      options: z.looseObject({}) as never,
      async run(_model, _options, { signal }) {
        for (;;) await giveWay(signal);
      },
    });
    const bench = await makeCompressBench(classifier(), 'classification', [endless]);
    const started = performance.now();
    const [, outcome] = await bench.run({ auto: { goal: 'latency', budget: 1.0001 }, gates: relaxed });
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(outcome!.notes.join('\n')).toMatch(/auto had no time for .*“half of the units”.*now 1.0001 s/);
    const { auto } = await readReport(outcome!.artifact!);
    expect(auto.tried.find(({ name }) => name === auto.chosen)!.failed).toEqual([]);
  });

  it('is chosen by its bare name, and not together with passes', () => {
    const schema = compressOptions({
      passes: new Map([quantizePass, foldPass].map((pass) => [pass.name, pass])),
    });
    expect(schema.parse({ auto: {} })).toMatchObject({ passes: [], auto: { goal: 'latency' } });
    expect(schema.parse({}).passes.map(({ name }) => name)).toEqual(['fold', 'quantize']);
    const both = schema.safeParse({ auto: {}, passes: ['fold'] });
    expect(both.error?.issues).toMatchObject([{ path: ['passes'] }]);
    expect(schema.safeParse({ auto: { goal: 'speed' } }).error?.issues[0]?.path).toEqual(['auto', 'goal']);
    expect(schema.safeParse(undefined).success).toBe(false);
  });

  it('knows what no other beats', () => {
    const candidate = (sizeRatio: number, ratio: number, signalToNoise: number) =>
      ({
        sizeRatio,
        latencies: [{ ratio }],
        judgement: { difference: { signalToNoise } },
      }) as unknown as Candidate;
    const [whole, small, bad, fast] = [
      candidate(1, 1, 90),
      candidate(0.3, 0.5, 40),
      candidate(0.4, 0.6, 30),
      candidate(0.5, 0.4, 40),
    ];
    expect(frontOf([whole, small, bad, fast])).toEqual([whole, small, fast]);
  });
});

describe('what auto chooses', () => {
  const candidate = (name: string, sizeRatio: number, ratio: number): Candidate =>
    ({
      ...{ name, steps: [], sizeRatio, verdicts: [], isSettled: false },
      ...{ latencies: [{ ratio }], judgement: { difference: { signalToNoise: 40 } } },
    }) as unknown as Candidate;

  it('is the same however the clock errs by a twentieth', () => {
    const nameOf = (errors: readonly number[]): string =>
      choose(
        [
          candidate('whole', 1, 1),
          candidate('int8', 0.26, 0.5 * errors[0]!),
          candidate('int8, smoothed', 0.262, 0.5 * errors[1]!),
          candidate('4-bit', 0.15, 0.8 * errors[2]!),
        ],
        'latency',
      ).chosen.name;
    for (const one of [0.96, 1, 1.04])
      for (const two of [0.96, 1, 1.04])
        for (const three of [0.96, 1, 1.04]) expect(nameOf([one, two, three])).toBe('int8');
  });
});

it('knows from some rows when all of them would fail', () => {
  const fails = (rows: number, lost: number, gained: number): boolean =>
    failsSurely({ accuracy: { maxDrop: 0.01 } } as Gates, { accuracy: { rows, lost, gained } });
  expect(fails(512, 40, 2)).toBe(true);
  expect(fails(512, 8, 0)).toBe(false);
  expect(fails(512, 60, 50)).toBe(false);
});
