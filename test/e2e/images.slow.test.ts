import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { maas, maasJson, post, serve, type RunJson } from './maas.js';

let folder: string;
let project: string;
/** Images that the model has never seen, by digit. */
const unseen: { digit: string; bytes: Buffer }[] = [];
let run: RunJson;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-images-'));
  expect((await maas(folder, ['init', 'digits', '--template', 'image-classifier'])).code).toBe(0);
  project = join(folder, 'digits');
  for (const digit of await readdir(join(project, 'images'))) {
    for (const name of ['055.png', '056.png', '057.png', '058.png', '059.png']) {
      const file = join(project, 'images', digit, name);
      unseen.push({ digit, bytes: await readFile(file) });
      await rm(file);
    }
  }
  run = await maasJson<RunJson>(project, ['run']);
}, 240_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

it('goes from a folder to a release that names images of other formats and sizes', async () => {
  expect(run.status).toBe('done');
  const server = await serve(project);
  try {
    let right = 0;
    for (const [at, { digit, bytes }] of unseen.entries()) {
      const large = sharp(bytes).resize(64, 64, { kernel: 'nearest' });
      const format = (['png', 'jpeg', 'webp'] as const)[at % 3]!;
      const image = await large.toFormat(format, { quality: 95 }).toBuffer();
      const { label } = await post<{ label: string }>(`${server.url}/predict`, {
        image: image.toString('base64'),
      });
      right += label === digit ? 1 : 0;
    }
    expect(right / unseen.length).toBeGreaterThanOrEqual(0.9);
  } finally {
    await server.stop();
  }
}, 240_000);

it('gives the same release from the same images elsewhere, decoded anew and left on disk', async () => {
  const copy = join(folder, 'digits-copy', 'digits');
  await mkdir(join(folder, 'digits-copy'));
  await cp(project, copy, { recursive: true, filter: (source) => !source.includes('.maas') });
  const again = await maasJson<RunJson>(copy, ['train']);
  expect(again).toMatchObject({ digest: run.stages['train']!.digest });
}, 240_000);

it('names a damaged image, changes nothing, and mends itself when the image is back', async () => {
  const file = join(project, 'images/3/000.png');
  const bytes = await readFile(file);
  await writeFile(file, bytes.subarray(0, 60));
  const failed = await maas(project, ['run']);
  expect(failed.code).toBe(2);
  expect(failed.stderr).toMatch(/error\[MAAS_DATA_VALUE\]: the image is damaged[^]*images\/3\/000\.png/);
  await writeFile(file, bytes);
  const mended = await maasJson<RunJson>(project, ['run']);
  expect(mended.release!.digest).toBe(run.release!.digest);
  expect(mended.stages['train']!.status).toBe('cached');
}, 240_000);
