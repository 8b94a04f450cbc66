import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join, normalize } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absent, packageFolder } from '../stages/train/engines/tfjs-node/installed.js';
import { maas, maasJson, post, serve } from './maas.js';

const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const reason = absent || (browser === undefined ? ' (skipped: there is no Chromium)' : '');

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-export-'));
});
afterAll(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
};

type Answer = Record<string, unknown>;

/** Has a browser load an exported folder from a server and predict rows. @returns the answers by backend. */
async function predictInBrowser(folder: string, rows: readonly object[]): Promise<Record<string, Answer[]>> {
  const script = join(dirname(packageFolder!), 'tfjs', 'dist', 'tf.min.js');
  const page = `<script src="/tf.min.js"></script><script type="module">
    import { load } from '/predict.js';
    const tell = (what) => fetch('/done', { method: 'POST', body: JSON.stringify(what) });
    try {
      const found = {};
      for (const backend of ['cpu', 'webgl']) {
        if (!(await tf.setBackend(backend).catch(() => false))) continue;
        await tf.ready();
        const predict = await load(tf);
        const before = tf.memory().numTensors;
        const rows = ${JSON.stringify(rows)}.map((row) => row.pixels
          ? { image: tf.tensor(row.pixels.data, row.pixels.shape, 'int32') } : row);
        const own = rows.filter((row) => row.image).length;
        found[backend] = await predict(rows);
        if (tf.memory().numTensors !== before + own) throw new Error('tensors are left behind');
        found[backend + ' refused'] = [{ text: await predict([{ nonsense: 1 }]).catch((error) => error.message) }];
      }
      await tell(found);
    } catch (error) {
      await tell({ error: String(error.stack) });
    }
  </script>`;
  let settle: (answers: Record<string, Answer[]> & { error?: string }) => void;
  const done = new Promise<Record<string, Answer[]> & { error?: string }>((resolve) => (settle = resolve));
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, 'http://localhost').pathname);
    if (path === '/done') {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        response.end();
        settle(JSON.parse(text) as Record<string, Answer[]>);
      });
      return;
    }
    response.setHeader('content-type', types[extname(path) || '.html'] ?? 'application/octet-stream');
    if (path === '/') {
      response.end(page);
      return;
    }
    readFile(path === '/tf.min.js' ? script : join(folder, path)).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const profile = await mkdtemp(join(root, 'profile-'));
  const flags = ['--headless=new', '--no-sandbox', '--no-first-run', '--disable-extensions'];
  // Without a graphics card Chromium computes WebGL in software.
  const graphics = ['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
  const child = execa(browser!, [...flags, ...graphics, `--user-data-dir=${profile}`, url], {
    reject: false,
    all: true,
  });
  try {
    const early = child.then(({ all }): never => {
      throw new Error(`the browser ended: ${all.slice(-2000)}`);
    });
    const answers = await Promise.race([done, early]);
    if (answers.error) throw new Error(answers.error);
    return answers;
  } finally {
    child.kill('SIGKILL');
    await child.catch(() => undefined);
    server.close();
  }
}

/** Labels are equal, numbers within 1e-5. */
function expectAnswers(found: readonly Answer[], wanted: readonly Answer[]): void {
  const flat = (answer: Answer): [string, unknown][] =>
    Object.entries(answer).flatMap(([key, value]) =>
      typeof value === 'object'
        ? flat(value as Answer).map(([name, one]): [string, unknown] => [`${key}.${name}`, one])
        : [[key, value]],
    );
  expect(found).toHaveLength(wanted.length);
  wanted.forEach((answer, row) => {
    const given = new Map(flat(found[row]!));
    for (const [name, value] of flat(answer)) {
      if (typeof value === 'number')
        expect(Math.abs(Number(given.get(name)) - value) / Math.max(1, Math.abs(value))).toBeLessThanOrEqual(
          1e-5,
        );
      else expect(given.get(name)).toBe(value);
    }
  });
}

interface Exported {
  readonly files: string[];
  readonly check: { readonly rows: number; readonly difference: number };
}

/** What `maas serve` answers for rows. */
async function served(project: string, rows: readonly object[]): Promise<Answer[]> {
  const server = await serve(project);
  try {
    return await post<Answer[]>(`${server.url}/predict`, rows);
  } finally {
    await server.stop();
  }
}

/** A project of a template whose release is the model as it was trained. */
async function uncompressed(
  name: string,
  template: string,
  changes: readonly string[] = [],
): Promise<string> {
  expect((await maas(root, ['init', name, '--template', template])).code).toBe(0);
  const project = join(root, name);
  const file = join(project, 'maas.config.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace(/^compress:[^]*?(?=^deploy:)/m, ''));
  await maasJson(project, ['run', ...changes]);
  return project;
}

const wine = `price,colour,year,sweet,rating
${Array.from({ length: 120 }, (_, at) => {
  const colour = ['red', 'white', 'rosé'][at % 3]!;
  const year = at % 7 === 0 ? '' : String(1990 + (at % 30));
  const price = (5 + ((at * 37) % 50) / 2).toFixed(2);
  return `${price},${at % 11 === 0 ? '' : colour},${year},${at % 2 === 0},${(Number(price) / 5 + (at % 3)).toFixed(3)}`;
}).join('\n')}
`;

describe.skipIf(reason !== '')(`a model in a browser${reason}`, { timeout: 240_000 }, () => {
  it('answers rows of numbers as the server does', async () => {
    const project = await uncompressed('iris', 'tabular-classifier');
    const web = join(project, 'web');
    const made = await maasJson<Exported>(project, ['export', '--format', 'tfjs', '--out', web]);
    expect(made.files).toEqual([
      'README.md',
      'group1-shard1of1.bin',
      'model.json',
      'predict.js',
      'signature.json',
    ]);
    expect(made.check.difference).toBeLessThanOrEqual(1e-5);
    const text = await readFile(join(project, 'data', 'iris.csv'), 'utf8');
    const [header, ...lines] = text
      .trim()
      .split('\n')
      .map((line) => line.split(','));
    const rows = lines.map((cells) =>
      Object.fromEntries(header!.slice(0, 4).map((name, at) => [name, Number(cells[at])])),
    );
    const found = await predictInBrowser(web, rows);
    const wanted = await served(project, rows);
    for (const backend of ['cpu', 'webgl']) expectAnswers(found[backend]!, wanted);
    expect(found['cpu refused']![0]!['text']).toBe('row 0: there is no feature nonsense');
  });

  it('answers rows with categories and missing values', async () => {
    const project = join(root, 'wine');
    await mkdir(project);
    await writeFile(join(project, 'wine.csv'), wine);
    const config = {
      name: 'wine',
      data: { source: 'wine.csv', target: 'rating' },
      train: { model: { layers: [{ dense: { units: 16, activation: 'gelu' } }, { dense: {} }] }, epochs: 5 },
      deploy: { target: 'local' },
    };
    await writeFile(join(project, 'maas.config.yaml'), JSON.stringify(config));
    await maasJson(project, ['run']);
    const web = join(project, 'web');
    const made = await maasJson<Exported>(project, ['export', '--format', 'tfjs', '--out', web]);
    expect(made.check.difference).toBeLessThanOrEqual(1e-5);
    const rows = [
      { price: 12.5, colour: 'red', year: 2001, sweet: 'true' },
      { price: 3, colour: 'rosé', year: null, sweet: 'false' },
      { price: 40, colour: 'orange', year: 1995, sweet: 'true' },
      { price: 7, sweet: 'false' },
    ];
    const found = await predictInBrowser(web, rows);
    const wanted = await served(project, rows);
    for (const backend of ['cpu', 'webgl']) expectAnswers(found[backend]!, wanted);
  });

  it('answers images as the server does', async () => {
    const short = ['--set', 'train.epochs=2', '--set', 'train.gates.accuracy.min=0'];
    const project = await uncompressed('digits', 'image-classifier', short);
    const web = join(project, 'web');
    const args = ['export', '--format', 'tfjs', '--out', web];
    expect((await maasJson<Exported>(project, args)).check.difference).toBeLessThanOrEqual(1e-5);
    const { default: sharp } = await import('sharp');
    const files = Array.from({ length: 10 }, (_, digit) => join(project, 'images', String(digit), '003.png'));
    const rows = await Promise.all(
      files.map(async (file) => {
        const { data, info } = await sharp(file).grayscale().raw().toBuffer({ resolveWithObject: true });
        return { pixels: { data: [...data], shape: [info.height, info.width, 1] } };
      }),
    );
    const found = await predictInBrowser(web, rows);
    const images = await Promise.all(
      files.map(async (file) => ({ image: (await readFile(file)).toString('base64') })),
    );
    const wanted = await served(project, images);
    for (const backend of ['cpu', 'webgl']) expectAnswers(found[backend]!, wanted);
  });
});
