import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSection } from '../../../../src/config/index.js';
import { loadModel } from '../../../../src/ir/onnx/load.js';
import { fileOptions } from '../../../../src/stages/compress/index.js';
import type { FileResult } from '../../../../src/stages/compress/file/compress-file.js';
import { classifier, flowers } from '../../../evaluate/models.js';
import { passModels } from '../../../conformance/pass-models.js';
import { compress, makeFolder, registry, relaxed } from './order.js';

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
    const set = [relaxed, 'compress.auto.goal=size'];
    const result = await compress(folder, classifier(), { external: true, set });
    expect(result.metrics['sizeRatio']).toBeLessThan(0.35);
    expect(result.metrics['signalToNoise']).toBeGreaterThan(20);
    expect(result.metrics).not.toHaveProperty('agreement');
    expect(result.notes[0]).toMatch(/made-up/);
    expect((await readdir(folder)).sort()).toEqual(['given.onnx', 'given.onnx.data', 'made.onnx']);
    const { graph } = await loadModel(join(folder, 'made.onnx'));
    expect([...graph.initializers.values()].every(({ data }) => data instanceof Uint8Array)).toBe(true);
  });

  it('is calibrated on half of a table and judged by the other', async () => {
    const folder = await makeFolder();
    const calibration = await writeFlowers(folder, 'a,b,c,d');
    const set = [relaxed, 'compress.passes=[fold, quantize]'];
    const result = await compress(folder, classifier(), { calibration, set });
    expect(applied(result)).toEqual([
      ['fold', ['dense0']],
      ['quantize', ['dense1']],
    ]);
    expect(result.metrics['agreement']).toBeGreaterThan(0.98);
    expect(result.passes[1]!.options).toMatchObject({ mode: 'static' });
    expect(result.notes).toEqual([]);
  });

  it('keeps what was there when a gate fails', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'made.onnx'), 'good');
    const set = [relaxed, 'compress.gates.signalToNoise.min=200', 'compress.gates.size.maxRatio=0.5'];
    const failure = compress(folder, classifier(), { set });
    await expect(failure).rejects.toMatchObject({
      code: 'MAAS_GATE_FAILED',
      message: expect.stringContaining('dense1 (') as string,
    });
    expect(await readFile(join(folder, 'made.onnx'), 'utf8')).toBe('good');
    expect((await readdir(folder)).sort()).toEqual(['given.onnx', 'made.onnx']);
  });

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

  it('says that a folder is not there', async () => {
    const failure = compress(await makeFolder(), classifier(16), { out: 'gone/made.onnx' });
    await expect(failure).rejects.toMatchObject({ code: 'MAAS_DISK' });
  });

  it('leaves out recipes that find nothing to do', async () => {
    const model = passModels().find(({ name }) => name === 'no weights at all')!.model;
    const result = await compress(await makeFolder(), model);
    const { auto } = result.measured as unknown as { auto: { tried: { name: string }[] } };
    expect(auto.tried.map(({ name }) => name)).toEqual(['unchanged']);
  });

  it('says where an option of --set is wrong', () => {
    expect(() => readSection('compress', fileOptions(registry), ['compress.gates.speed=1'])).toThrow(
      expect.objectContaining({ code: 'MAAS_CONFIG_UNKNOWN_KEY' }) as Error,
    );
  });
});
