import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { countNumbers, countTexts } from '../../../src/data/drift/distribution.js';
import type { Reference } from '../../../src/data/drift/reference.js';
import { serveOptions } from '../../../src/stages/serve/config.js';
import { SampleLog } from '../../../src/stages/serve/watch/sample-log.js';
import { colours, flowers, labels, makeShelf, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

const even = (length: number, of: (at: number) => number): Float64Array =>
  Float64Array.from({ length }, (_, at) => of(at));

/** Heights and widths from -1 to 1, colours in turn. */
const reference: Reference = {
  schemaVersion: 1,
  features: [
    { name: 'height', ...countNumbers(even(1000, (at) => at / 500 - 1)) },
    { name: 'width', ...countNumbers(even(1000, (at) => at / 500 - 1)) },
    { name: 'colour', ...countTexts(Array.from({ length: 999 }, (_, at) => colours[at % 3]!)) },
  ],
  predictions: [
    { name: 'label', ...countTexts(['rose', 'tulip'], labels) },
    { name: 'confidence', ...countNumbers(even(1000, (at) => at / 1000)) },
  ],
};

interface Drift {
  models: {
    rows: number;
    enough: boolean;
    features: { name: string; psi: number; observed: number[] }[];
    predictions: { name: string; psi: number }[];
  }[];
}

let shelf: Shelf;
let scratch: string;
beforeAll(async () => {
  shelf = await makeShelf();
  scratch = await mkdtemp(join(tmpdir(), 'maas-watch-'));
});
afterAll(async () => {
  await shelf.remove();
  await rm(scratch, { recursive: true, force: true });
});

/** `count` rows like those of training; with `shift`, heights are off. */
const rows = (count: number, shift = 0): object[] =>
  Array.from({ length: count }, (_, at) => ({
    height: ((at * 7919) % count) / (count / 2) - 1 + shift,
    width: ((at * 104_729) % count) / (count / 2) - 1,
    colour: colours[at % 3],
  }));

const driftOf = async (served: Served): Promise<Drift['models'][0]> =>
  ((await (await served.get('/drift')).json()) as Drift).models[0]!;

describe('serve.drift', () => {
  it('says nothing before there are rows enough, then which feature has moved, and forgets', async () => {
    const drift = { rate: 1, minRows: 500, window: 2000 };
    const served = await start(await shelf.add(flowers(), { reference }), { options: { drift } });
    try {
      await served.post('/predict', rows(499));
      expect(await (await served.get('/')).json()).toMatchObject({ drift: '/drift' });
      expect(await driftOf(served)).toMatchObject({ rows: 499, enough: false, features: [] });
      await served.post('/predict', rows(1501));
      const same = await driftOf(served);
      expect(same).toMatchObject({ rows: 1000, enough: true });
      expect(same.features.map(({ name }) => name)).toEqual(['height', 'width', 'colour']);
      for (const { psi } of same.features) expect(psi).toBeLessThan(0.05);
      await served.post('/predict', rows(1000, 5));
      await served.post('/predict', rows(1000, 5));
      const [height, ...others] = (await driftOf(served)).features;
      expect(height!.psi).toBeGreaterThan(1);
      for (const { psi } of others) expect(psi).toBeLessThan(0.05);
      const metrics = await (await served.get('/metrics')).text();
      expect(metrics).toMatch(
        /maas_drift_psi\{model="flowers",version="\w+",kind="feature",name="height"\} [1-9]/,
      );
      expect(metrics).toMatch(/maas_drift_js\{[^}]*kind="prediction",name="label"\} 0\.\d/);
      expect(metrics).toMatch(/maas_drift_rows\{[^}]*\} 1000/);
    } finally {
      await served.stop();
    }
  });

  it('sees what comes as tensors, values that are new, and values that are none', async () => {
    const drift = { rate: 1, minRows: 1, window: 100 };
    const served = await start(await shelf.add(flowers(), { reference }), { options: { drift } });
    try {
      await served.post('/v2/models/flowers/infer', {
        inputs: [
          { name: 'features', datatype: 'FP32', shape: [2, 2], data: [0, 0, 9, 9] },
          { name: 'colour', datatype: 'BYTES', shape: [2, 1], data: ['green', ''] },
        ],
      });
      const colour = (await driftOf(served)).features.find(({ name }) => name === 'colour')!;
      expect(colour.observed).toEqual([0, 0, 0, 1, 1]);
    } finally {
      await served.stop();
    }
  });

  it('warns of a release that has nothing to compare with, and 404 tells why there is nothing', async () => {
    const drift = { rate: 1, minRows: 500, window: 2000 };
    const served = await start(await shelf.add(flowers()), { options: { drift } });
    try {
      const answer = await served.get('/drift');
      expect(answer.status).toBe(404);
      expect(await answer.text()).toContain('serve.drift turns it on');
      expect(served.events).toContainEqual(
        expect.objectContaining({
          event: 'warning',
          text: expect.stringContaining('reference.json') as string,
        }),
      );
    } finally {
      await served.stop();
    }
  });

  it('refuses a window that never holds enough', () => {
    const parsed = serveOptions.safeParse({ drift: { minRows: 600, window: 1000 } });
    expect(parsed.error?.issues[0]).toMatchObject({ path: ['drift', 'minRows'] });
  });
});

describe('serve.sample', () => {
  const ask = {
    inputs: [
      { name: 'features', datatype: 'FP32', shape: [1, 2], data: [0.5, 2] },
      { name: 'colour', datatype: 'BYTES', shape: [1, 1], data: ['red'] },
    ],
  };

  it('writes lines that can be sent again', async () => {
    const file = join(scratch, 'new', 'samples.jsonl');
    const options = { sample: { rate: 1, file, maxBytes: 2 ** 20 } };
    const served = await start(await shelf.add(flowers()), { options });
    try {
      const first = (await (await served.post('/v2/models/flowers/infer', ask)).json()) as {
        outputs: unknown;
      };
      expect((await served.post('/v2/models/flowers/infer', { inputs: [] })).status).toBe(400);
      await expect.poll(() => readFile(file, 'utf8')).toMatch(/\n$/);
      const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
      expect(lines).toHaveLength(1);
      const sample = JSON.parse(lines[0]!) as Record<string, unknown>;
      expect(sample).toMatchObject({ model: 'flowers', inputs: ask.inputs });
      expect(
        (sample['outputs'] as unknown[]).map((output) => (output as { name: string }).name).sort(),
      ).toEqual(['label', 'probabilities']);
      const again = await served.post('/v2/models/flowers/infer', lines[0]);
      const outputs = new Set(
        ((await again.json()) as { outputs: object[] }).outputs.map((each) => JSON.stringify(each)),
      );
      expect(outputs).toEqual(new Set((first.outputs as object[]).map((each) => JSON.stringify(each))));
    } finally {
      await served.stop();
    }
  });

  it.skipIf(!existsSync('/dev/full'))(
    'drops and counts what a full disk has no room for, and answers',
    async () => {
      const options = { sample: { rate: 1, file: '/dev/full', maxBytes: 2 ** 20 } };
      const served = await start(await shelf.add(flowers()), { options });
      try {
        for (let count = 0; count < 3; count++) {
          expect((await served.post('/v2/models/flowers/infer', ask)).status).toBe(200);
        }
        await expect
          .poll(async () => (await served.get('/metrics')).text())
          .toMatch(/maas_samples_dropped_total [1-9]/);
        const warnings = served.events.filter(({ event }) => event === 'warning');
        expect(warnings).toHaveLength(1);
        expect(warnings[0]).toMatchObject({ text: expect.stringContaining('ENOSPC') as string });
      } finally {
        await served.stop();
      }
    },
  );

  it('is refused at the start where the file cannot be', async () => {
    const file = join(scratch, 'no-folder');
    await writeFile(file, '');
    const options = { sample: { rate: 1, file: join(file, 'samples'), maxBytes: 2 ** 20 } };
    await expect(start(await shelf.add(flowers()), { options })).rejects.toMatchObject({
      code: 'MAAS_USAGE',
    });
  });
});

describe('the file of samples', () => {
  it('never has more bytes than it may, with the one before it, and no line in part', async () => {
    const file = join(scratch, 'bounded');
    let dropped = 0;
    const options = { file, maxBytes: 64 * 1024, onDropped: (lines: number) => (dropped += lines) };
    const log = await SampleLog.open(options);
    const line = JSON.stringify({ text: 'x'.repeat(1000) });
    let sent = 0;
    for (let round = 0; round < 40; round++) {
      for (let count = 0; count < 10; count++, sent++) log.write(line);
      await new Promise((resolve) => setTimeout(resolve, 1));
      const sizes = await Promise.all(
        [file, `${file}.1`].map((path) => stat(path).catch(() => ({ size: 0 }))),
      );
      expect(sizes[0]!.size + sizes[1]!.size).toBeLessThanOrEqual(options.maxBytes);
    }
    log.write('y'.repeat(options.maxBytes));
    await log.close();
    expect(dropped).toBeGreaterThan(0);
    expect(dropped).toBeLessThan(sent);
    for (const path of [file, `${file}.1`]) {
      for (const each of (await readFile(path, 'utf8')).trimEnd().split('\n')) expect(each).toBe(line);
    }
    const again = await SampleLog.open(options);
    again.write(line);
    await again.close();
    expect((await readFile(file, 'utf8')).trimEnd().split('\n').at(-1)).toBe(line);
  });
});
