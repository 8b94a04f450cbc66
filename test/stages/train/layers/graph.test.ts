import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ConfigPath } from '../../../../src/config/index.js';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { removeDead } from '../../../../src/ir/rewrite.js';
import { openSession } from '../../../../src/runtime/session.js';
import { openLayers } from '../../../../src/stages/train/layers/emit-layers.js';
import { layers } from '../../../../src/stages/train/layers/index.js';
import { layerSchema } from '../../../../src/stages/train/layers/list-schema.js';

const schema = z.array(layerSchema(() => layers));

/** The layers as somebody writes them, on rows of these sizes. */
function build(written: readonly unknown[], sizes: readonly number[]) {
  const g = new GraphBuilder();
  g.input('x', 'float32', ['N', ...sizes]);
  const place = (path: ConfigPath) => ({ file: path.join('.') });
  const emitter = openLayers(g, { seed: 1, path: ['layers'], place });
  const y = emitter.emit(schema.parse(written), new Map([['features', () => 'x']]));
  g.output(y);
  return { g, y, shape: g.shapeOf(y), trainable: emitter.trainable };
}

async function run(
  { g, y }: ReturnType<typeof build>,
  rows: readonly (readonly number[])[],
): Promise<number[]> {
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} };
  const session = await openSession(encodeModel(model));
  try {
    const x = {
      dtype: 'float32' as const,
      dims: [rows.length, rows[0]!.length],
      data: Float32Array.from(rows.flat()),
    };
    // A zero has no sign here.
    return Array.from((await session.run({ x }))[y]!.data as Float32Array, (value) => value + 0);
  } finally {
    await session.close();
  }
}

/** relu(x), under the name rectified. */
const rectified = { prelu: { name: 'rectified' } };

describe('a graph of layers', () => {
  it.each([
    ['add', [6, -4]],
    ['subtract', [0, -4]],
    ['multiply', [9, 0]],
    ['average', [3, -2]],
    ['maximum', [3, 0]],
    ['minimum', [3, -4]],
    ['concatenate', [3, -4, 3, 0]],
  ] as const)('%s takes the inputs that it names', async (merge, expected) => {
    const graph = build([rectified, { [merge]: { inputs: ['features', 'rectified'] } }], [2]);
    expect(await run(graph, [[3, -4]])).toEqual(expected);
  });

  it('reads the layer before it, unless it names another', async () => {
    const negative = [
      rectified,
      { subtract: { inputs: ['features', 'rectified'] } },
      { reshape: { targetShape: [1, 2] } },
    ];
    expect(await run(build(negative, [2]), [[3, -4]])).toEqual([0, -4]);
    const early = [rectified, 'flatten', { reshape: { targetShape: [2, 1], inputs: 'features' } }];
    expect(build(early, [2]).shape).toEqual(['N', 2, 1]);
    expect(await run(build(early, [2]), [[3, -4]])).toEqual([3, -4]);
  });

  it('adds what residual layers give to their input, or to a shortcut', async () => {
    expect(await run(build([{ residual: { layers: ['prelu'] } }], [2]), [[3, -4]])).toEqual([6, -4]);
    const wider = {
      layers: [{ conv2d: { filters: 4, kernelSize: 3, padding: 'same' } }, 'batchNormalization'],
    };
    const shortcut = [{ conv2d: { filters: 4, kernelSize: 1 } }];
    const { shape, trainable } = build([{ residual: { ...wider, shortcut } }], [1, 4, 4]);
    expect(shape).toEqual(['N', 4, 4, 4]);
    expect(trainable).toEqual(
      ['conv2d_1/kernel', 'conv2d_1/bias', 'batchNormalization_1/gamma', 'batchNormalization_1/beta'].concat([
        'conv2d_2/kernel',
        'conv2d_2/bias',
      ]),
    );
  });

  it('reaches names outside from inside a residual layer, and not the other way', async () => {
    const inside = { add: { inputs: ['rectified', 'features'], name: 'sum' } };
    expect(await run(build([rectified, { residual: { layers: [inside] } }], [2]), [[3, -4]])).toEqual([
      9, -4,
    ]);
    const reach = [
      rectified,
      { residual: { layers: [inside] } },
      { reshape: { targetShape: [2], inputs: 'sum' } },
    ];
    expect(() => build(reach, [2])).toThrow('no layer before this one is named "sum"');
  });

  it('turns sequences once where layers that want channels first follow each other', () => {
    const convolution = { conv1d: { filters: 3, kernelSize: 1 } };
    const { g } = build([convolution, 'batchNormalization', convolution], [4, 2]);
    expect(removeDead(g.build()).nodes.map(({ op }) => op)).toEqual([
      'Transpose',
      'Conv',
      'BatchNormalization',
      'Conv',
      'Transpose',
    ]);
  });
});

describe('layers that do not fit are named with their place', () => {
  it.each([
    [['conv2d'], [64], 'layers[0].conv2d takes images', 'targetShape: [1, 8, 8]'],
    [['maxPooling1d'], [2, 8, 8], 'layers[0].maxPooling1d takes sequences [steps, features]', 'reshape'],
    [
      [{ conv2d: { filters: 2, kernelSize: 5 } }],
      [1, 4, 8],
      'its kernel reaches over 5 × 5, its input has 4 × 8',
      'same',
    ],
    [
      [{ conv2d: { filters: 3, kernelSize: 1, groups: 2 } }],
      [4, 2, 2],
      '2 groups do not divide 4 channels into 3',
      'groups',
    ],
    [[{ groupNormalization: {} }], [4, 2, 2], '32 groups do not divide 4 channels', 'groups'],
    [[{ layerNormalization: {} }], [4, 2, 2], 'takes vectors [features] or sequences', 'flatten'],
    [[{ reshape: { targetShape: [3, -1] } }], [8], 'cannot make [3, -1] of [8]', 'targetShape'],
    [[{ reshape: { targetShape: [3, 3] } }], [8], '9 elements are not 8', 'targetShape'],
    [[{ permute: { dims: [1, 3] } }], [2, 2], 'dims [1, 3] are not the axes of [2, 2]', '1 to 2'],
    [[{ multiHeadAttention: { numHeads: 3 } }], [5, 4], '3 heads do not divide 4 features', 'keyDim'],
    [[rectified, { add: { inputs: ['rectified'] } }], [2], 'takes two inputs or more', 'inputs: ['],
    [[rectified, { flatten: { inputs: ['rectified', 'features'] } }], [2], 'takes one input', 'add'],
    [
      [rectified, { flatten: { inputs: 'rectifed' } }],
      [2],
      'no layer before this one is named "rectifed"',
      'Did you mean',
    ],
    [[{ flatten: { inputs: 'later' } }, { prelu: { name: 'later' } }], [2], 'is named "later"', 'features'],
    [[rectified, rectified], [2], 'two layers are named "rectified"', 'name'],
    [
      [{ reshape: { targetShape: [1, 2], name: 'a' } }, { add: { inputs: ['a', 'features'] } }],
      [2],
      '[1, 2] and [2]',
      'shape',
    ],
    [
      [{ concatenate: { inputs: ['features', 'features'], axis: 3 } }],
      [2],
      'has no axis 3: a row is [2]',
      '1 to 1',
    ],
    [
      [{ residual: { layers: [{ dense: { units: 3 } }] } }],
      [2],
      'layers[0].residual its layers give [3], its input [2]',
      'dense: {units: 3}',
    ],
    [
      [{ residual: { layers: ['flatten', 'conv2d'] } }],
      [2],
      'layers[0].residual.layers[1].conv2d takes images',
      'reshape',
    ],
  ])('%j on %j', (written, sizes, message, hint) => {
    // Only the options that a test is about are written.
    const whole = written.map((layer) =>
      layer === 'conv2d' ? { conv2d: { filters: 1, kernelSize: 1 } } : complete(layer),
    );
    expect(() => build(whole, sizes)).toThrow(
      expect.objectContaining({
        code: 'MAAS_MODEL_SHAPE',
        message: expect.stringContaining(message) as string,
        hint: expect.stringContaining(hint) as string,
        place: { file: expect.stringMatching(/^layers\.\d/) as string },
      }) as Error,
    );
  });
});

function complete(layer: unknown): unknown {
  if (typeof layer !== 'object' || layer === null || !('residual' in layer)) return layer;
  const { layers: inner } = layer.residual as { layers: unknown[] };
  return {
    residual: {
      layers: inner.map((each) => (each === 'conv2d' ? { conv2d: { filters: 1, kernelSize: 1 } } : each)),
    },
  };
}
