import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absent, openTf } from '../stages/train/engines/tfjs-node/installed.js';
import { maasJson, post, serve, type RunJson } from './maas.js';

/**
 * Models that others have made: nsfwjs (MIT) brings a MobileNet v2 and an Inception v3 of TensorFlow.js, trained and
 * quantized, as scripts that hold model.json and its weights.
 */
const published = {
  name: 'nsfwjs@4.4.0',
  sha512: 'krC1fgeTLXtZwgdpKJ0jm7hqv0gTSRQQRL+FhOaxaJ9Wj92t42BO3csO2odwgTAgZgf2RvkwPtp0R8Aa7dc+MA==',
};

const folder = await mkdtemp(join(tmpdir(), 'maas-public-'));
const trouble = await bring();
const reason = trouble === undefined ? absent : ` (skipped: cannot bring ${published.name}: ${trouble})`;

/** Brings the package; returns why it cannot. */
async function bring(): Promise<string | undefined> {
  const packed = await execa('npm', ['pack', published.name, '--silent'], {
    cwd: folder,
    reject: false,
    timeout: 180_000,
  });
  if (packed.exitCode !== 0) return packed.stderr.split('\n')[0];
  const archive = join(folder, packed.stdout.trim());
  const sha512 = createHash('sha512')
    .update(await readFile(archive))
    .digest('base64');
  if (sha512 !== published.sha512) throw new Error(`${published.name} is not what it was: sha512 ${sha512}`);
  await execa('tar', ['-xzf', archive, '-C', folder]);
  return undefined;
}

/** Writes the files that a script stands for. */
async function unpack(name: string, into: string): Promise<void> {
  const scripts = join(folder, 'package', 'dist', 'models');
  await writeFile(join(scripts, 'package.json'), '{"type":"commonjs"}');
  await mkdir(into, { recursive: true });
  for (const script of await readdir(join(scripts, name))) {
    const held: unknown = createRequire(import.meta.url)(join(scripts, name, script));
    const target = join(into, script.replace('.min.js', ''));
    if (typeof held === 'string') await writeFile(target, Buffer.from(held, 'base64'));
    else await writeFile(`${target}.json`, JSON.stringify(held));
  }
}

/** An array file of NumPy. */
function npy(descr: string, shape: readonly number[], data: Uint8Array): Buffer {
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const padded = `${header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11)}\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(padded.length);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(padded), data]);
}

const rows = 30;

describe.skipIf(reason !== '')(`a public model of TensorFlow.js${reason}`, () => {
  afterAll(() => rm(folder, { recursive: true, force: true }));

  describe.each([
    ['mobilenet_v2', 224],
    ['inception_v3', 299],
  ])('%s', (name, side) => {
    const project = join(folder, `project-${name}`);
    const pixels = Uint8Array.from(
      { length: rows * side * side * 3 },
      (_, at) => ((at * 2654435761) >>> 13) % 256,
    );
    let run: RunJson;

    beforeAll(async () => {
      await unpack(name, project);
      await writeFile(join(project, 'images.npy'), npy('|u1', [rows, side, side, 3], pixels));
      await writeFile(
        join(project, 'kinds.npy'),
        npy(
          '|u1',
          [rows],
          Uint8Array.from({ length: rows }, (_, at) => at % 5),
        ),
      );
      const config = {
        name: 'public',
        data: { source: 'images.npy', target: 'kinds.npy', task: 'classification' },
        train: { model: { keras: 'model.json', head: 'keep' }, epochs: 0 },
        deploy: { target: 'local', verify: { timeout: 120 } },
      };
      await writeFile(join(project, 'maas.config.yaml'), JSON.stringify(config));
      run = await maasJson<RunJson>(project, ['run']);
    }, 240_000);

    it('is released as it is', () => {
      expect(run.status).toBe('done');
      expect(run.release).not.toBeNull();
    });

    it('is served, and predicts what TensorFlow.js predicts', async () => {
      const tf = openTf() as unknown as TfLayers;
      const layers = await tf.loadLayersModel(`file://${join(project, 'model.json')}`);
      const server = await serve(project);
      try {
        for (const row of [0, 17]) {
          const size = side * side * 3;
          const image = Float32Array.from(pixels.subarray(row * size, (row + 1) * size));
          const wanted = layers.predict(tf.tensor(image, [1, side, side, 3], 'float32')).dataSync();
          const { outputs } = await post<{ outputs: { name: string; data: number[] }[] }>(
            `${server.url}/v2/models/public/infer`,
            { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, side, side, 3], data: [...image] }] },
          );
          const { data } = outputs.find((output) => output.name === 'probabilities')!;
          expect(data).toHaveLength(wanted.length);
          wanted.forEach((value, at) => {
            expect(Math.abs(data[at]! - value)).toBeLessThanOrEqual(1e-5);
          });
        }
      } finally {
        await server.stop();
      }
    }, 120_000);
  });
});

interface TfLayers {
  tensor(data: Float32Array, shape: number[], dtype: string): unknown;
  loadLayersModel(url: string): Promise<{ predict(x: unknown): { dataSync(): Float32Array } }>;
}
