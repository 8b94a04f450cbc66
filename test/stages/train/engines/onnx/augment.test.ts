import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataset, Table } from '../../../../../src/data/dataset.js';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { attr } from '../../../../../src/ir/graph.js';
import { tensor } from '../../../../../src/ir/tensor.js';
import { augmentSchema } from '../../../../../src/stages/train/augment-options.js';
import { change, openAugmenter } from '../../../../../src/stages/train/engines/onnx/augment.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { randomStream } from '../../../../../src/stages/train/random.js';
import { classes, fingerprint, job, noise, type Network } from './jobs.js';

const [channels, height, width] = [3, 8, 6];
const shape = [channels, height, width];
const size = channels * height * width;
const original = Uint8Array.from({ length: size }, (_, at) => (at * 37 + ((at * at) >> 2)) % 256);

function changed(options: object, row = 0, image = original): Uint8Array {
  const copy = image.slice();
  change(copy, shape, augmentSchema.parse(options), randomStream(1, 'test', row), new Uint8Array(size));
  return copy;
}

const rows = Array.from({ length: 200 }, (_, row) => row);
/** The pixel of the same image, or of its mirror images. */
const mirrored = (across: boolean, down: boolean): Uint8Array =>
  original.map((_, at) => {
    const [channel, y, x] = [Math.floor(at / (height * width)), Math.floor(at / width) % height, at % width];
    const [fromY, fromX] = [down ? height - 1 - y : y, across ? width - 1 - x : x];
    return original[(channel * height + fromY) * width + fromX]!;
  });

describe('augmentation', () => {
  it.each([
    ['horizontal', [mirrored(false, false), mirrored(true, false)]],
    ['vertical', [mirrored(false, false), mirrored(false, true)]],
    [
      'horizontalAndVertical',
      [mirrored(false, false), mirrored(true, false), mirrored(false, true), mirrored(true, true)],
    ],
  ])('flips %s, exactly and each way as often', (randomFlip, expected) => {
    const counts = expected.map(
      (image) => rows.filter((row) => changed({ randomFlip }, row).join() === image.join()).length,
    );
    expect(counts.reduce((sum, count) => sum + count)).toBe(rows.length);
    for (const count of counts) expect(Math.abs(count / rows.length - 1 / counts.length)).toBeLessThan(0.1);
  });

  it('leaves an image of one colour as it is, wherever it is moved', () => {
    const flat = new Uint8Array(size).fill(77);
    const moves = {
      randomRotation: 0.5,
      randomZoom: 0.4,
      randomTranslation: { heightFactor: 0.9, widthFactor: 0.9 },
    };
    for (const fillMode of ['reflect', 'nearest'] as const)
      for (const row of rows.slice(0, 30)) expect(changed({ ...moves, fillMode }, row, flat)).toEqual(flat);
    const filled = rows.map((row) => changed({ ...moves, fillMode: 'constant', fillValue: 200 }, row, flat));
    expect(Math.max(...filled.map((image) => Math.max(...image)))).toBe(200);
    expect(Math.min(...filled.map((image) => Math.min(...image)))).toBe(77);
  });

  it('moves no further than it may, and turns about the middle', () => {
    // One bright pixel in the middle of an odd image.
    const dims = [1, 9, 9];
    const dot = new Uint8Array(81);
    dot[40] = 255;
    const centreOf = (options: object, row: number): [number, number] => {
      const copy = dot.slice();
      const parsed = augmentSchema.parse({ fillMode: 'constant', ...options });
      change(copy, dims, parsed, randomStream(1, 'test', row), new Uint8Array(81));
      const total = copy.reduce((sum, value) => sum + value, 0);
      const mean = (of: (at: number) => number) =>
        copy.reduce((sum, value, at) => sum + value * of(at), 0) / total;
      return [mean((at) => at % 9) - 4, mean((at) => Math.floor(at / 9)) - 4];
    };
    const places = rows.map((row) =>
      centreOf({ randomTranslation: { heightFactor: 0, widthFactor: 0.25 } }, row),
    );
    const across = places.map(([x]) => x);
    expect(Math.max(...across)).toBeGreaterThan(1.5);
    expect(Math.min(...across)).toBeLessThan(-1.5);
    expect(Math.max(...across.map(Math.abs))).toBeLessThan(9 / 4 + 0.01);
    for (const [, y] of places) expect(y).toBeCloseTo(0, 6);
    for (const row of rows.slice(0, 50)) {
      const [x, y] = centreOf({ randomRotation: 1 }, row);
      expect(Math.hypot(x, y)).toBeLessThan(0.05);
    }
  });

  it('changes brightness and contrast within their bounds', () => {
    const middling = original.map((value) => 100 + (value % 40));
    for (const row of rows.slice(0, 50)) {
      const bright = changed({ randomBrightness: 0.1 }, row, middling);
      const shifts = new Set(bright.map((value, at) => value - middling[at]! + 128));
      expect(shifts.size).toBeLessThanOrEqual(2);
      expect(Math.abs([...shifts][0]! - 128)).toBeLessThanOrEqual(26);
    }
    const mean = (image: Uint8Array) => image.subarray(0, 48).reduce((sum, value) => sum + value, 0) / 48;
    const spread = (image: Uint8Array) =>
      Math.max(...image.subarray(0, 48)) - Math.min(...image.subarray(0, 48));
    const contrasts = rows.slice(0, 50).map((row) => changed({ randomContrast: 0.5 }, row, middling));
    for (const image of contrasts) expect(mean(image)).toBeCloseTo(mean(middling), 0);
    const spreads = contrasts.map(spread);
    expect(Math.max(...spreads) / spread(middling)).toBeGreaterThan(1.3);
    expect(Math.min(...spreads) / spread(middling)).toBeLessThan(0.7);
  });

  it('refuses to say nothing', () => {
    expect(augmentSchema.safeParse({}).success).toBe(false);
    expect(augmentSchema.safeParse({ fillMode: 'nearest' }).success).toBe(false);
  });
});

/** Which half of the image is brighter. */
function images(): Dataset {
  const table = (split: string, count: number): Table => {
    const values = noise(count * size, `${split} images`);
    const data = Uint8Array.from(values, (value, at) => {
      const [row, x] = [Math.floor(at / size), at % width];
      const bright = row % 2 === 0 ? x < width / 2 : x >= width / 2;
      return 90 + 60 * value + (bright ? 80 : 0);
    });
    return {
      rows: count,
      lines: new Uint32Array(count),
      inputs: { image: { dtype: 'uint8', dims: [count, ...shape], data } },
      target: {
        dtype: 'int64',
        dims: [count],
        data: BigInt64Array.from({ length: count }, (_, row) => BigInt(row % 2)),
      },
    };
  };
  const base = classes();
  return {
    ...base,
    splits: { train: table('train', 80), validation: table('validation', 20), test: table('test', 20) },
    signature: {
      ...base.signature,
      features: [{ name: 'image', type: 'image', input: 'image', column: 0, shape }],
      inputs: [{ name: 'image', dtype: 'uint8', shape: ['N', ...shape] }],
    },
  };
}

function network(): Network {
  const g = new GraphBuilder('halves');
  g.input('image', 'uint8', ['N', ...shape]);
  const scaled = g.op('Div', [g.op('Cast', ['image'], { to: attr.int(1) }), g.scalar(255)]);
  g.initializer(
    'weight',
    tensor(
      'float32',
      [size, 2],
      noise(size * 2, 'weight').map((value) => value / 20),
    ),
  );
  g.initializer('bias', tensor('float32', [2], [0, 0]));
  const scores = g.op('Gemm', [g.op('Flatten', [scaled]), 'weight', 'bias']);
  const prediction = g.op('Softmax', [scores], { axis: attr.int(1) });
  g.output(prediction);
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} };
  return { model, trainable: ['weight', 'bias'], prediction };
}

describe('training with augmentation', () => {
  let root: string;
  beforeAll(async () => (root = await mkdtemp(join(tmpdir(), 'maas-augment-'))));
  afterAll(() => rm(root, { recursive: true }));
  const augment = augmentSchema.parse({
    randomFlip: 'vertical',
    randomBrightness: 0.2,
    randomRotation: 0.02,
  });
  const make = (name: string, changes: object = {}) =>
    job(network(), images(), join(root, name), {
      epochs: 3,
      augment,
      options: { stepsPerRun: 1 },
      ...changes,
    });

  it('is another one, learns, and leaves the data as it was', async () => {
    const data = images();
    const whole = { ...make('whole'), dataset: data };
    const augmented = await onnxEngine.train(whole);
    expect(data).toEqual(images());
    const plain = await onnxEngine.train(make('plain', { augment: undefined }));
    expect(fingerprint(augmented)).not.toBe(fingerprint(plain));
    const epochs = { epochs: 12, options: {} };
    expect((await onnxEngine.train(make('long', epochs))).history.at(-1)!['validationAccuracy']).toBe(1);
  });

  it('is taken up again with the same bits, and runs several steps at once with the same bits', async () => {
    const unbroken = fingerprint(await onnxEngine.train(make('unbroken')));
    let looks = 0;
    const signal = {
      get aborted() {
        return looks++ >= 7;
      },
    } as AbortSignal;
    await expect(onnxEngine.train({ ...make('broken'), signal })).rejects.toThrow('stopped');
    expect(fingerprint(await onnxEngine.train(make('broken')))).toBe(unbroken);
    expect(fingerprint(await onnxEngine.train(make('several', { options: { stepsPerRun: 4 } })))).toBe(
      unbroken,
    );
  });

  it('changes an image anew in each epoch, the same way in any batch', () => {
    const given = make('none');
    const column = given.dataset.splits.train.inputs['image']!;
    const apply = openAugmenter(given, { image: column });
    const take = (epoch: number, first: number, count: number): string[] => {
      const data = (column.data as Uint8Array).slice(first * size, (first + count) * size);
      apply({ image: { dtype: 'uint8', dims: [count, ...shape], data } }, epoch, first);
      return Array.from({ length: count }, (_, row) => data.subarray(row * size, (row + 1) * size).join());
    };
    expect([...take(0, 0, 5), ...take(0, 5, 3)]).toEqual(take(0, 0, 8));
    expect(take(1, 0, 8).filter((image, row) => image === take(0, 0, 8)[row])).toEqual([]);
  });
});
