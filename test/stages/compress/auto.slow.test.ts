import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { MaasError } from '../../../src/errors.js';
import { definePass } from '../../../src/plugin/api.js';
import { classifier } from '../../evaluate/models.js';
import { makeCompressBench } from './bench.js';

const relaxed = { latency: { maxRatio: 100 } };

describe('auto', () => {
  it('leaves out recipes that do not work with the model', async () => {
    const broken = definePass<Record<string, never>>({
      ...{ name: 'smoothQuant', summary: 'refuse all models', version: 1 },
      options: z.looseObject({}) as never,
      run: () => Promise.reject(new MaasError('MAAS_MODEL_UNSUPPORTED', 'no such luck')),
    });
    const bench = await makeCompressBench(classifier(), 'classification', [broken]);
    const [, outcome] = await bench.run({ auto: { goal: 'latency', budget: 60 }, gates: relaxed });
    expect(outcome!.notes).toContain('auto left out “int8, smoothed and calibrated”: no such luck');
  });

  it('is what its choice is, written down as passes', async () => {
    const bench = await makeCompressBench(classifier());
    const [, found] = await bench.run({ auto: { goal: 'size', budget: 60 }, gates: relaxed });
    const report = JSON.parse(await readFile(join(found!.artifact!, 'report.json'), 'utf8')) as {
      passes: { name: string; options: unknown }[];
    };
    const passes = report.passes.map(({ name, options }) => ({ [name]: options }));
    const [again] = (await bench.compress({ passes, gates: relaxed })).slice(-1);
    const bytesOf = (artifact: string) => readFile(join(artifact, 'model.onnx'));
    expect((await bytesOf(again!.artifact!)).equals(await bytesOf(found!.artifact!))).toBe(true);
  });
});
