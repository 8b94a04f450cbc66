import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { frontOf, type Candidate } from '../../../src/stages/compress/auto/candidate.js';
import { compressOptions } from '../../../src/stages/compress/config.js';
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
    const [, outcome] = await bench.run({ auto: { goal: 'size' }, gates: relaxed });
    const { auto, size } = await readReport(outcome!.artifact!);
    expect(auto.tried.slice(0, 2)).toMatchObject([
      { name: 'unchanged', failed: [], sizeRatio: 1 },
      { name: 'cleaned up', failed: [] },
    ]);
    const passing = auto.tried.filter(({ failed }) => failed.length === 0);
    expect(passing.length).toBeGreaterThan(2);
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
    const failure = bench.run({ auto: { goal: 'size' }, gates: { ...gates, size: { maxRatio: 0.3 } } });
    await expect(failure).rejects.toMatchObject({ code: 'MAAS_GATE_FAILED' });
    const [, outcome] = await bench.run({ auto: { goal: 'size' }, gates });
    const { auto } = await readReport(outcome!.artifact!);
    expect(auto.tried.some(({ failed }) => failed.includes('signalToNoise'))).toBe(true);
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
      ({ sizeRatio, latencies: [{ ratio }], figures: { signalToNoise } }) as unknown as Candidate;
    const [whole, small, bad, fast] = [
      candidate(1, 1, 90),
      candidate(0.3, 0.5, 40),
      candidate(0.4, 0.6, 30),
      candidate(0.5, 0.4, 40),
    ];
    expect(frontOf([whole, small, bad, fast])).toEqual([whole, small, fast]);
  });
});
