import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, loadDataset, readSignature } from '../../src/data/index.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-signature-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('readSignature', () => {
  it('gives back what was written', async () => {
    const config = dataSchema.parse({ source: 'iris.csv', target: 'species' });
    const iris = new URL('../../templates/tabular-classifier/data/', import.meta.url).pathname;
    const { signature } = await loadDataset(config, { root: iris, seed: 1, name: 'iris' });
    await writeFile(join(root, 'signature.json'), JSON.stringify(signature));
    expect(await readSignature(join(root, 'signature.json'))).toEqual(signature);
  });

  it.each([
    ['{"schemaVersion": 1', /is not JSON/],
    ['{"schemaVersion": 2}', /not valid at schemaVersion/],
    ['[]', /not valid at the whole file/],
  ])('refuses %s', async (content, message) => {
    const path = join(root, 'bad.json');
    await writeFile(path, content);
    await expect(readSignature(path)).rejects.toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
      message: expect.stringMatching(message) as string,
      place: { file: path },
    });
  });

  it('refuses a file that is not there', async () => {
    await expect(readSignature(join(root, 'nowhere.json'))).rejects.toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
    });
  });
});
