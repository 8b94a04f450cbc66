import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Listr, type ListrTask } from 'listr2';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readSection } from '../../../../src/config/index.js';
import type { Model } from '../../../../src/ir/graph.js';
import { loadModel } from '../../../../src/ir/onnx/load.js';
import { saveModel } from '../../../../src/ir/onnx/save.js';
import { fileOptions, foldPass, quantizePass } from '../../../../src/stages/compress/index.js';
import { compressFile, type FileResult } from '../../../../src/stages/compress/file/compress-file.js';
import { classifier, flowers } from '../../../evaluate/models.js';
import { passModels } from '../../../conformance/pass-models.js';

const passes = new Map([foldPass, quantizePass].map((pass) => [pass.name, pass]));
const registry = { passes } as never;
const relaxed = 'compress.gates.latency.maxRatio=100';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'maas-file-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Order {
  readonly external?: boolean;
  readonly calibration?: string;
  readonly set?: string[];
}

/** Compresses `model` from a file of `folder` to another. */
async function compress(
  folder: string,
  model: Model,
  { external, calibration, set = [relaxed] }: Order = {},
) {
  const path = join(folder, 'given.onnx');
  const out = join(folder, 'made.onnx');
  await saveModel(model, path, { external });
  const order = {
    model: path,
    calibration,
    out,
    options: readSection('compress', fileOptions(registry), set),
    registry,
    signal: new AbortController().signal,
  };
  const run = async (tasks: readonly ListrTask[]) => {
    await new Listr([...tasks], { renderer: 'silent' }).run();
  };
  return compressFile(order, run);
}

async function writeFlowers(folder: string, header: string): Promise<string> {
  const path = join(folder, 'rows.csv');
  const { data } = flowers(80);
  const lines = Array.from({ length: 80 }, (_, row) => data.subarray(row * 4, row * 4 + 4).join());
  await writeFile(path, [header, ...lines].join('\n'));
  return path;
}

const applied = ({ passes: records }: FileResult) =>
  records.map(({ name, applied: parts = [] }) => [name, parts.map(({ node }) => node)]);

describe('a file without a project', () => {
  it('is quantized without data, and judged by what it gave before', async () => {
    const folder = await makeFolder();
    const result = await compress(folder, classifier(), { external: true });
    expect(applied(result)).toEqual([
      ['fold', ['dense0']],
      ['quantize', ['dense1']],
    ]);
    expect(result.metrics['sizeRatio']).toBeLessThan(0.35);
    expect(result.metrics['signalToNoise']).toBeGreaterThan(20);
    expect(result.metrics).not.toHaveProperty('agreement');
    expect(result.notes[0]).toMatch(/made-up/);
    expect((await readdir(folder)).sort()).toEqual(['given.onnx', 'given.onnx.data', 'made.onnx']);
    const { graph } = await loadModel(join(folder, 'made.onnx'));
    expect(graph.nodes.map(({ op }) => op)).toContain('DynamicQuantizeLinear');
  });

  it('is calibrated on half of a table and judged by the other', async () => {
    const folder = await makeFolder();
    const calibration = await writeFlowers(folder, 'a,b,c,d');
    const result = await compress(folder, classifier(), { calibration });
    expect(result.metrics['agreement']).toBeGreaterThan(0.98);
    expect(result.passes[1]!.options).toMatchObject({ mode: 'static' });
    expect(result.notes).toEqual([]);
  });

  it('keeps what was there when a gate fails', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'made.onnx'), 'good');
    const set = [relaxed, 'compress.gates.signalToNoise.min=200'];
    const failure = compress(folder, classifier(), { set });
    await expect(failure).rejects.toMatchObject({
      code: 'MAAS_GATE_FAILED',
      message: expect.stringContaining('dense1 (') as string,
    });
    expect(await readFile(join(folder, 'made.onnx'), 'utf8')).toBe('good');
    expect((await readdir(folder)).sort()).toEqual(['given.onnx', 'made.onnx']);
  });

  it.each(passModels().filter(({ name }) => /Gemm|MatMul|convolution|residual|no weights/.test(name)))(
    'may be $name',
    async ({ model }) => {
      const folder = await makeFolder();
      const set = [relaxed, 'compress.gates.size.maxRatio=3'];
      const result = await compress(folder, model, { set });
      expect(result.metrics['signalToNoise'] ?? Infinity).toBeGreaterThan(20);
    },
  );

  it.each([
    ['a,b,c', 'MAAS_DATA_COLUMN', 'there is no array for the model\'s input "features"'],
    ['a,b,c,d\n1,2,3,x', 'MAAS_DATA_COLUMN', 'there is no array'],
  ])('refuses data that does not fit: %s', async (text, code, message) => {
    const folder = await makeFolder();
    const calibration = join(folder, 'bad.csv');
    await writeFile(calibration, text.includes('\n') ? text : `${text}\n1,2,3`);
    await expect(compress(folder, classifier(16), { calibration })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
      place: { file: calibration },
    });
  });

  it('says where an option of --set is wrong', () => {
    expect(() => readSection('compress', fileOptions(registry), ['compress.gates.speed=1'])).toThrow(
      expect.objectContaining({ code: 'MAAS_CONFIG_UNKNOWN_KEY' }) as Error,
    );
  });
});
