import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MaasError } from '../../../src/errors.js';
import type { Model } from '../../../src/ir/graph.js';
import { decodeModel, loadModel, loadWeights } from '../../../src/ir/onnx/load.js';
import {
  AttributeProto_AttributeType,
  ModelProtoSchema,
  TensorProto_DataLocation,
  type TensorProtoSchema,
} from '../../../src/ir/onnx/onnx.generated.js';
import { encodeModel, maxFileLength, needsExternal, saveModel } from '../../../src/ir/onnx/save.js';
import { isFileRange, numbersOf, tensor, type Tensor } from '../../../src/ir/tensor.js';
import { openSession, type Feeds } from '../../../src/runtime/session.js';
import { denseModel, models, tensors } from './models.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-onnx-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const features: Feeds = {
  features: { dtype: 'float32', dims: [2, 4], data: Float32Array.of(1, 2, 3, 4, -1, 0.5, 2, -3) },
};

async function run(model: Uint8Array | string): Promise<Float32Array> {
  const session = await openSession(model);
  try {
    return (await session.run(features))['probabilities']!.data as Float32Array;
  } finally {
    await session.close();
  }
}

function withInitializer(init: MessageInitShape<typeof TensorProtoSchema>): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 10n,
      opsetImport: [{ domain: '', version: 21n }],
      graph: { name: 'g', initializer: [{ name: 'w', ...init }] },
    }),
  );
}

function caught(action: () => unknown): MaasError {
  try {
    action();
  } catch (error) {
    if (error instanceof MaasError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a model in memory', () => {
  it('is the same after encoding and decoding', () => {
    fc.assert(
      fc.property(models, (model) => {
        expect(decodeModel(encodeModel(model))).toEqual(model);
      }),
      { numRuns: 200 },
    );
  });

  it('encodes to the same bytes again', () => {
    fc.assert(
      fc.property(models, (model) => {
        const bytes = encodeModel(model);
        expect(Buffer.compare(encodeModel(decodeModel(bytes)), bytes)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it('runs in onnxruntime as it did before', async () => {
    const bytes = encodeModel(denseModel());
    expect(await run(encodeModel(decodeModel(bytes)))).toEqual(await run(bytes));
  });

  it('shares its weights with the bytes it was decoded from', () => {
    const bytes = encodeModel(denseModel());
    for (const { data } of decodeModel(bytes).graph.initializers.values()) {
      expect((data as Uint8Array).buffer).toBe(bytes.buffer);
    }
  });

  it('decodes 100 MB of weights without touching them', () => {
    const model = denseModel();
    const weight = tensor('float32', [25_000_000], new Float32Array(25_000_000));
    const bytes = encodeModel({
      ...model,
      graph: { ...model.graph, initializers: new Map([['w', weight]]) },
    });
    const times = [1, 2, 3].map(() => {
      const start = performance.now();
      decodeModel(bytes);
      return performance.now() - start;
    });
    // A copy alone would take some 30 ms, parsing number by number a second.
    expect(Math.min(...times)).toBeLessThan(10);
  });
});

describe('what maas has no types for', () => {
  const full = create(ModelProtoSchema, {
    irVersion: 10n,
    opsetImport: [
      { domain: '', version: 21n },
      { domain: 'local', version: 1n },
    ],
    producerName: 'p',
    producerVersion: '1.2',
    domain: 'org.example',
    modelVersion: 3n,
    docString: 'model',
    functions: [{ name: 'F', domain: 'local', input: ['x'], output: ['y'], node: [{ opType: 'Relu' }] }],
    trainingInfo: [{ algorithm: { name: 'train' } }],
    metadataProps: [{ key: 'k', value: 'v' }],
    graph: {
      name: 'g',
      docString: 'graph',
      input: [
        {
          name: 'x',
          docString: 'value',
          metadataProps: [{ key: 'a', value: 'b' }],
          type: {
            denotation: 'IMAGE',
            value: {
              case: 'tensorType',
              value: {
                elemType: 1,
                shape: { dim: [{ denotation: 'DATA_BATCH', value: { case: 'dimParam', value: 'N' } }, {}] },
              },
            },
          },
        },
      ],
      output: [
        {
          name: 'seq',
          type: {
            value: {
              case: 'sequenceType',
              value: { elemType: { value: { case: 'tensorType', value: { elemType: 1 } } } },
            },
          },
        },
      ],
      initializer: [
        { name: 'w', dims: [1n], dataType: 1, rawData: new Uint8Array(4), docString: 'weight' },
        { name: 'v', dims: [1n], dataType: 3, rawData: new Uint8Array(1) },
      ],
      sparseInitializer: [
        { dims: [4n], values: { name: 's', dims: [1n], dataType: 1, rawData: new Uint8Array(4) } },
      ],
      quantizationAnnotation: [{ tensorName: 'w' }],
      node: [
        {
          opType: 'F',
          domain: 'local',
          overload: 'o',
          docString: 'node',
          metadataProps: [{ key: 'x', value: 'y' }],
          attribute: [
            { name: 'd', type: AttributeProto_AttributeType.FLOAT, f: 0.5, docString: 'attribute' },
            { name: 'blob', type: AttributeProto_AttributeType.STRING, s: Uint8Array.of(0xff, 0xfe, 0) },
            {
              name: 't',
              type: AttributeProto_AttributeType.TENSOR,
              t: { name: 'inner', dims: [1n], dataType: 2, rawData: Uint8Array.of(7) },
            },
            {
              name: 'type',
              type: AttributeProto_AttributeType.TYPE_PROTO,
              tp: { value: { case: 'tensorType', value: { elemType: 1 } } },
            },
          ],
        },
      ],
    },
  });
  // A field of a later version of ONNX.
  full.graph!.$unknown = [{ no: 999, wireType: WireType.Varint, data: Uint8Array.of(5) }];

  it('survives a round trip', () => {
    const bytes = toBinary(ModelProtoSchema, full);
    const again = encodeModel(decodeModel(bytes));
    expect(fromBinary(ModelProtoSchema, again)).toEqual(fromBinary(ModelProtoSchema, bytes));
  });

  it('goes when the part it belongs to goes', () => {
    const model = decodeModel(toBinary(ModelProtoSchema, full));
    const initializers = new Map([...model.graph.initializers].filter(([name]) => name !== 'w'));
    const proto = fromBinary(
      ModelProtoSchema,
      encodeModel({ ...model, graph: { ...model.graph, initializers } }),
    );
    expect(proto.graph!.initializer.map((part) => part.name)).toEqual(['v']);
  });
});

describe('typed data fields of old exporters', () => {
  it.each<[string, MessageInitShape<typeof TensorProtoSchema>, number[]]>([
    ['float32', { dataType: 1, dims: [2n], floatData: [1.5, -2] }, [1.5, -2]],
    ['float64', { dataType: 11, dims: [1n], doubleData: [0.1] }, [0.1]],
    ['int64', { dataType: 7, dims: [2n], int64Data: [-1n, 5n] }, [-1, 5]],
    ['uint64', { dataType: 13, dims: [1n], uint64Data: [9n] }, [9]],
    ['uint32', { dataType: 12, dims: [1n], uint64Data: [4_000_000_000n] }, [4_000_000_000]],
    ['int32', { dataType: 6, dims: [1n], int32Data: [-7] }, [-7]],
    ['int8', { dataType: 3, dims: [2n], int32Data: [-128, 127] }, [-128, 127]],
    ['uint8', { dataType: 2, dims: [1n], int32Data: [200] }, [200]],
    ['int16', { dataType: 5, dims: [1n], int32Data: [-300] }, [-300]],
    ['bool', { dataType: 9, dims: [2n], int32Data: [1, 0] }, [1, 0]],
    ['float16', { dataType: 10, dims: [1n], int32Data: [0x3c00] }, [0x3c00]],
  ])('%s becomes raw bytes', (_, init, expected) => {
    const constant = decodeModel(withInitializer(init)).graph.initializers.get('w')!;
    expect(numbersOf(constant)).toEqual(expected);
  });

  it('packs 4-bit and 6-bit elements as ONNX says', () => {
    const int4 = decodeModel(withInitializer({ dataType: 22, dims: [3n], int32Data: [0x21, 0x03] }));
    expect(int4.graph.initializers.get('w')!.data).toEqual(Uint8Array.of(0x21, 0x03));
    const [x0, x1, x2, x3] = [0x3f, 0x01, 0x2a, 0x15];
    const float6 = decodeModel(withInitializer({ dataType: 27, dims: [4n], int32Data: [x0, x1, x2, x3] }));
    expect(float6.graph.initializers.get('w')!.data).toEqual(
      Uint8Array.of(x0 | ((x1 & 3) << 6), (x1 >> 2) | ((x2 & 15) << 4), (x2 >> 4) | (x3 << 2)),
    );
  });
});

describe('a broken model', () => {
  const good = encodeModel(denseModel());

  it.each([
    ['empty', new Uint8Array()],
    ['text', Buffer.from('name: iris\nseed: 7\n')],
    ['zeros', new Uint8Array(64)],
    ['a zip', Buffer.from('504b0304140000000800', 'hex')],
  ])('(%s) is refused with the file as the place', (_, bytes) => {
    const error = caught(() => decodeModel(bytes, { file: 'model.onnx' }));
    expect(error).toMatchObject({ code: 'MAAS_MODEL_INVALID', place: { file: 'model.onnx' } });
  });

  it('is refused wherever it was cut off', () => {
    for (let length = 0; length < good.length; length++) {
      expect(caught(() => decodeModel(good.subarray(0, length))).code).toBe('MAAS_MODEL_INVALID');
    }
  });

  it('never makes decoding fail in another way', () => {
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 5 }), (changes) => {
        const bytes = good.slice();
        for (const [index, value] of changes) bytes[index] = value;
        try {
          decodeModel(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'MAAS_MODEL_INVALID' });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('names the tensor whose bytes do not fill its shape', () => {
    const error = caught(() =>
      decodeModel(withInitializer({ dataType: 1, dims: [3n], rawData: new Uint8Array(8) })),
    );
    expect(error.message).toBe('tensor w: 8 bytes do not fill [3]');
  });

  it('may be missing', async () => {
    await expect(loadModel(join(folder, 'none.onnx'))).rejects.toMatchObject({
      code: 'MAAS_MODEL_INVALID',
      place: { file: join(folder, 'none.onnx') },
    });
  });
});

describe('external data', () => {
  const path = (): string => join(folder, 'model.onnx');

  it('is written aligned, stays on disk when loaded, and runs the same', async () => {
    const model = denseModel(512);
    await saveModel(model, path(), { external: true });
    const loaded = await loadModel(path());
    const ranges = [...loaded.graph.initializers.values()].map((part) => part.data).filter(isFileRange);
    expect(ranges.map((range) => range.offset % 64)).toEqual([0, 0, 0]);
    expect(await loadWeights(loaded)).toEqual(model);
    expect(await run(path())).toEqual(await run(encodeModel(model)));
  });

  it('can be folded into one file, or moved to another folder', async () => {
    const model = denseModel(512);
    await saveModel(model, path(), { external: true });
    const loaded = await loadModel(path());
    await saveModel(loaded, join(folder, 'one.onnx'), { external: false });
    expect(await readFile(join(folder, 'one.onnx'))).toEqual(Buffer.from(encodeModel(model)));
    // Over itself: the ranges still lie in the file that is replaced.
    await saveModel(loaded, path(), { external: true });
    expect(await loadWeights(await loadModel(path()))).toEqual(model);
    expect(() => encodeModel(loaded)).toThrow(TypeError);
  });

  it('is refused outside the folder of the model', async () => {
    for (const location of ['../secret', '/etc/hostname', '', '.', 'a/../../secret']) {
      await writeFile(
        path(),
        withInitializer({
          dataType: 1,
          dims: [1n],
          dataLocation: TensorProto_DataLocation.EXTERNAL,
          externalData: [{ key: 'location', value: location }],
        }),
      );
      await expect(loadModel(path())).rejects.toMatchObject({ code: 'MAAS_MODEL_INVALID' });
    }
  });

  it('is refused when it is a link out of the folder, missing or too short', async () => {
    await mkdir(join(folder, 'model'));
    const inner = join(folder, 'model', 'model.onnx');
    await saveModel(denseModel(512), inner, { external: true });
    await truncate(`${inner}.data`, 5000);
    await expect(loadModel(inner)).rejects.toThrow(/has 5000 bytes/);
    await rm(`${inner}.data`);
    await expect(loadModel(inner)).rejects.toThrow(/cannot be read: ENOENT/);
    await writeFile(join(folder, 'outside'), new Uint8Array(1 << 20));
    await symlink(join(folder, 'outside'), `${inner}.data`);
    await expect(loadModel(inner)).rejects.toThrow(/link out of/);
  });

  it('is used when the weights do not fit in one file', () => {
    const huge: Tensor = {
      dtype: 'float32',
      dims: [2 ** 29],
      data: { path: 'x', offset: 0, length: 2 ** 31 },
    };
    const withWeights = (weight: Tensor): Model => {
      const model = denseModel();
      return { ...model, graph: { ...model.graph, initializers: new Map([['w', weight]]) } };
    };
    expect(maxFileLength).toBe(2 ** 31 - 1);
    expect(needsExternal(withWeights(huge))).toBe(true);
    expect(needsExternal(withWeights(tensor('float32', [1], [0])))).toBe(false);
  });
});

describe('saveModel', () => {
  it('writes what encodeModel encodes, however many weights there are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(tensors, { maxLength: 40 }), async (list) => {
        const base = denseModel();
        const initializers = new Map(
          Array.from({ length: 3000 }, (_, index) => [
            `t${index}`,
            list[index % list.length] ?? tensor('int8', [1], [1]),
          ]),
        );
        const model = { ...base, graph: { ...base.graph, initializers } };
        await saveModel(model, join(folder, 'm.onnx'));
        expect(Buffer.compare(await readFile(join(folder, 'm.onnx')), encodeModel(model))).toBe(0);
      }),
      { numRuns: 5 },
    );
  });

  it('leaves the file that was there when it fails', async () => {
    const path = join(folder, 'm.onnx');
    await saveModel(denseModel(), path);
    const before = await readFile(path);
    const broken: Tensor = {
      dtype: 'float32',
      dims: [1],
      data: { path: join(folder, 'm.onnx'), offset: before.length, length: 4 },
    };
    const model = denseModel();
    const initializers = new Map([...model.graph.initializers, ['lost', broken] as const]);
    await expect(
      saveModel({ ...model, graph: { ...model.graph, initializers } }, path),
    ).rejects.toMatchObject({
      code: 'MAAS_MODEL_INVALID',
    });
    expect(await readFile(path)).toEqual(before);
    await expect(saveModel(model, join(folder, 'none', 'm.onnx'))).rejects.toThrow(/ENOENT/);
  });
});
