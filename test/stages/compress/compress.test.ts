import { appendFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { foldPass, quantizePass } from '../../../src/stages/compress/index.js';
import { classifier, regressor } from '../../evaluate/models.js';
import { makeCompressBench } from './bench.js';

/** Latency is a matter of the machine that runs the tests. */
const relaxed = { latency: { maxRatio: 100 } };

interface ReportFile {
  readonly passes: readonly {
    name: string;
    applied: readonly { node: string }[];
    skipped: readonly { node: string; reason: string }[];
  }[];
  readonly size: { before: number; after: number; ratio: number };
  readonly figures: { before: Record<string, number>; after: Record<string, number> };
  readonly gates: readonly { gate: string; passed: boolean }[];
}

async function readReport(artifact: string): Promise<ReportFile> {
  return JSON.parse(await readFile(join(artifact, 'report.json'), 'utf8')) as ReportFile;
}

describe('compress', () => {
  it('makes a classifier a third of its size and as good', async () => {
    const bench = await makeCompressBench(classifier());
    const [train, compress] = await bench.run({ gates: { ...relaxed, size: { maxRatio: 0.4 } } });
    const files = (await readdir(compress!.artifact!)).sort();
    expect(files).toEqual(['manifest.json', 'model.onnx', 'report.json', 'signature.json']);
    const [before, after] = await Promise.all(
      [train, compress].map((outcome) => readFile(join(outcome!.artifact!, 'signature.json'))),
    );
    expect(after).toEqual(before);

    const { size, figures, gates, passes } = await readReport(compress!.artifact!);
    expect(size.ratio).toBeLessThan(0.35);
    expect(figures.before['accuracy']).toBe(1);
    expect(figures.after['accuracy']).toBeGreaterThanOrEqual(0.99);
    expect(gates.map(({ gate, passed }) => [gate, passed])).toEqual([
      ['accuracy', true],
      ['size', true],
    ]);
    expect(passes.map(({ name, applied }) => [name, applied.map(({ node }) => node)])).toEqual([
      ['fold', ['dense0']],
      ['quantize', ['dense1']],
    ]);
    expect(passes[1]!.skipped).toEqual([
      { node: 'dense0', reason: '4 × 128 weights are fewer than minElements (4096)' },
      { node: 'dense2', reason: '128 × 3 weights are fewer than minElements (4096)' },
    ]);
    // No float32 copy of a quantized weight is left.
    const { graph } = await loadModel(join(compress!.artifact!, 'model.onnx'));
    const floats = [...graph.initializers].filter(([, { dtype }]) => dtype === 'float32');
    expect(Math.max(...floats.map(([, { dims }]) => dims.reduce((a, b) => a * b, 1)))).toBe(4 * 128);

    expect(compress!.metrics).toMatchObject({ accuracy: figures.after['accuracy'], sizeRatio: size.ratio });
    const latency = compress!.measured['latency'] as { batch: number; ratio: number }[];
    expect(latency.map(({ batch }) => batch)).toEqual([1, 64]);
    expect(latency.every(({ ratio }) => ratio > 0)).toBe(true);
  });

  it('gives the same artifact twice, and from another folder', async () => {
    const [one, two] = await Promise.all([makeCompressBench(classifier()), makeCompressBench(classifier())]);
    const [, first] = await one.run({ gates: relaxed });
    const [, second] = await two.run({ gates: relaxed });
    expect(second!.digest).toBe(first!.digest);
    const [, again] = await one.run({ gates: relaxed });
    expect(again).toMatchObject({ status: 'cached', digest: first!.digest, measured: first!.measured });
  });

  it('judges a regression by its error', async () => {
    const bench = await makeCompressBench(regressor(), 'regression');
    const [, fine] = await bench.run({ gates: relaxed });
    expect(fine!.metrics['r2']).toBeGreaterThan(0.5);
  });

  it('says so when no pass found anything to do', async () => {
    const bench = await makeCompressBench(classifier(16));
    const [, outcome] = await bench.run({ passes: [{ quantize: {} }], gates: relaxed });
    expect(outcome!.notes).toEqual(['quantize changed nothing']);
    const [train] = await bench.run({ passes: [{ quantize: {} }], gates: relaxed });
    const models = [train, outcome].map((each) => readFile(join(each!.artifact!, 'model.onnx')));
    expect(await models[1]).toEqual(await models[0]);
  });

  it('refuses rows that the model was not trained on', async () => {
    const bench = await makeCompressBench(classifier(16));
    await bench.run({ gates: relaxed });
    await appendFile(bench.dataFile, '\n5.1,3.5,1.4,0.2,setosa');
    await expect(bench.compress({ gates: relaxed })).rejects.toMatchObject({ code: 'MAAS_DATA_CHANGED' });
  });

  it('is keyed by the processor and the versions of the passes, and holds no latency', async () => {
    const bench = await makeCompressBench(classifier(16));
    const [, outcome] = await bench.run({ gates: relaxed });
    const manifest = await readFile(join(outcome!.artifact!, 'manifest.json'), 'utf8');
    const { key } = JSON.parse(manifest) as { key: { passes: unknown; cpu: { arch: string } } };
    expect(key.passes).toEqual({ fold: foldPass.version, quantize: quantizePass.version });
    expect(key.cpu.arch).toBe(process.arch);
    expect(manifest).not.toContain('latency');
  });
});
