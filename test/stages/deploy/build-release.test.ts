import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/artifacts/index.js';
import { type DataConfig, encodeRows, loadDataset, type Signature } from '../../../src/data/index.js';
import type { Distribution, Reference } from '../../../src/data/drift/reference.js';
import { lineOf } from '../../../src/data/rows.js';
import { openSession } from '../../../src/runtime/session.js';
import { type Golden, readGolden } from '../../../src/stages/deploy/golden.js';
import { buildRelease, type Built, makeModel, makeProject, makeRelease } from './make-release.js';

let root: string;
let built: Built;
let golden: Golden;
let signature: Signature;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-release-'));
  built = await makeRelease(join(root, 'project'));
  golden = await readGolden(built.artifact.path);
  signature = JSON.parse(await readFile(join(built.artifact.path, 'signature.json'), 'utf8')) as Signature;
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('a release', () => {
  it('holds the model and its signature byte for byte, what they are made of, and no more', async () => {
    const names = await readdir(built.artifact.path);
    expect(names.sort()).toEqual([
      'golden.json',
      'manifest.json',
      'model.onnx',
      'provenance.intoto.jsonl',
      'reference.json',
      'sbom.cdx.json',
      'signature.json',
    ]);
    for (const name of ['model.onnx', 'signature.json']) {
      const [copy, original] = await Promise.all(
        [built.artifact, built.model].map(({ path }) => readFile(join(path, name))),
      );
      expect(copy!.equals(original!)).toBe(true);
    }
  });

  it('tells how the features of training, and the answers to held-out rows, are distributed', async () => {
    const path = join(built.artifact.path, 'reference.json');
    const { features, predictions } = JSON.parse(await readFile(path, 'utf8')) as Reference;
    expect(features.map(({ name }) => name)).toEqual(signature.features.map(({ name }) => name));
    expect(predictions.map(({ name }) => name)).toEqual(['label', 'confidence']);
    const rowsOf = ({ counts }: Distribution): number => counts.reduce((sum, count) => sum + count, 0);
    for (const group of [features, predictions]) expect(new Set(group.map(rowsOf)).size).toBe(1);
    expect(rowsOf(features[0]!)).toBeGreaterThan(rowsOf(predictions[0]!));
    expect(predictions[0]).toMatchObject({ values: signature.target.labels });
  });

  it('tells the accuracy of its model and where it came from', () => {
    expect(built.artifact.manifest.metrics['accuracy']).toBe(0.5);
    expect(built.artifact.manifest.inputs).toEqual({ model: built.model.digest });
  });

  it('is the same release when it is built again, in another folder', async () => {
    const again = await makeRelease(join(root, 'elsewhere'));
    expect(again.artifact.digest).toBe(built.artifact.digest);
  });

  it('is another release for another model', async () => {
    const other = await makeRelease(join(root, 'other'), 1);
    expect(other.artifact.digest).not.toBe(built.artifact.digest);
  });

  it('is refused when the data is not what the model was trained on', async () => {
    const project = await makeProject(join(root, 'changed'));
    const store = openStore(join(project.root, '.maas'));
    const model = await makeModel(project, store);
    await appendFile(join(project.root, 'data', 'things.csv'), '\n1,2,red,odd');
    await expect(buildRelease(project, store, model)).rejects.toMatchObject({ code: 'MAAS_DATA_CHANGED' });
  });
});

describe('golden rows', () => {
  it('are held-out rows of every class, at most 16', async () => {
    const { project } = built;
    const dataset = await loadDataset(project.config['data'] as DataConfig, project);
    const lines = (await readFile(join(project.root, 'data', 'things.csv'), 'utf8')).split('\n');
    const { test } = dataset.splits;
    const held = Array.from({ length: test.rows }, (_, row) => lines[lineOf(test, row) - 1]!);
    expect(golden.rows).toHaveLength(Math.min(16, held.length));
    const texts = golden.rows.map((row) => signature.features.map(({ name }) => row[name]).join());
    for (const text of texts) expect(held.some((line) => line.startsWith(`${text},`))).toBe(true);
    expect(new Set(texts).size).toBeGreaterThan(3);
  });

  it('are written as the source has them, not as float32 spells them', () => {
    for (const row of golden.rows) expect(String(row['width'])).toMatch(/^\d+\.1$/);
    expect(new Set(golden.rows.map((row) => row['colour']))).toEqual(new Set(['red', 'blue']));
  });

  it('encode to the golden inputs, which give the golden outputs', async () => {
    const encoded = encodeRows(signature, golden.rows);
    if (!encoded.ok) throw new Error(encoded.errors[0]!.message);
    for (const [name, { dims, data }] of Object.entries(golden.inputs)) {
      expect(encoded.inputs[name]!.dims).toEqual(dims);
      const values =
        dims.length > 0 && typeof data[0] === 'number' ? data.map((x) => Math.fround(Number(x))) : data;
      expect(Array.from(encoded.inputs[name]!.data as ArrayLike<unknown>)).toEqual(values);
    }
    const session = await openSession(join(built.artifact.path, 'model.onnx'));
    const outputs = await session.run(encoded.inputs, ['label', 'probabilities']);
    await session.close();
    expect(outputs['label']!.data).toEqual(golden.outputs['label']!.data);
    expect(golden.outputs['probabilities']!.dims).toEqual([golden.rows.length, 3]);
    const got = outputs['probabilities']!.data as Float32Array;
    golden.outputs['probabilities']!.data.forEach((wanted, index) => {
      expect(Math.abs(got[index]! - Number(wanted))).toBeLessThan(1e-6);
    });
  });
});
