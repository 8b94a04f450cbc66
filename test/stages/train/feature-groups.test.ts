import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ConfigPath } from '../../../src/config/index.js';
import type { Dataset } from '../../../src/data/dataset.js';
import type { MaasError } from '../../../src/errors.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { removeDead } from '../../../src/ir/rewrite.js';
import { openSession } from '../../../src/runtime/session.js';
import { buildModel } from '../../../src/stages/train/build-model.js';
import type { FeatureGroups } from '../../../src/stages/train/feature-groups.js';
import { layers } from '../../../src/stages/train/layers/index.js';
import { layerSchema } from '../../../src/stages/train/layers/list-schema.js';
import { mixedDataset } from './datasets.js';

const schema = z.array(layerSchema(() => layers));
const place = (path: ConfigPath) => ({ file: path.join('.') });
const build = (inputs: FeatureGroups, written: readonly unknown[], dataset: Dataset = mixedDataset()) =>
  buildModel(schema.parse(written), dataset, { seed: 1, place, inputs });

/** A value of the model, for the rows of the dataset. */
async function read({ model }: ReturnType<typeof build>, name: string): Promise<number[]> {
  const graph = removeDead({ ...model.graph, outputs: [{ name }] });
  const inputs = Object.entries(mixedDataset().splits.train.inputs);
  const taken = inputs.filter(([input]) => graph.inputs.some((port) => port.name === input));
  const session = await openSession(encodeModel({ ...model, graph }));
  try {
    return [...((await session.run(Object.fromEntries(taken) as never))[name]!.data as Float32Array)];
  } finally {
    await session.close();
  }
}

const inputOf = ({ model }: ReturnType<typeof build>, layer: string): string =>
  model.graph.nodes.find(({ inputs }) => inputs.includes(`${layer}/kernel`))!.inputs[0]!;

describe('inputs made of features', () => {
  it('go through branches of their own, encoded as all features are', async () => {
    const draft = build({ sizes: ['constant', 'si*'], paint: ['colour'] }, [
      { dense: { units: 4, inputs: 'sizes', name: 'left' } },
      { dense: { units: 5, inputs: 'paint', name: 'right' } },
      { concatenate: { inputs: ['left', 'right'] } },
      'dense',
    ]);
    // In the order of the data; (x − 3) / 2, and 0 for what never changes.
    expect(await read(draft, inputOf(draft, 'left'))).toEqual([-1, 0, -0.5, 0, 1.5, 0]);
    expect(await read(draft, inputOf(draft, 'right'))).toEqual([0, 1, 1, 0, 0, 1]);
    const { initializers } = draft.model.graph;
    expect(initializers.get('left/kernel')!.dims).toEqual([2, 4]);
    expect(initializers.get('right/kernel')!.dims).toEqual([2, 5]);
    expect(initializers.get('dense_3/kernel')!.dims).toEqual([9, 3]);
    expect(draft.model.graph.inputs.map(({ name }) => name)).toEqual(['features', 'colour']);
  });

  it('may share features, with each other and with all of them', async () => {
    const draft = build({ one: ['size'], two: ['size', 'colour'] }, [
      { dense: { units: 2, name: 'all' } },
      { dense: { units: 2, inputs: 'one', name: 'a' } },
      { dense: { units: 2, inputs: 'two', name: 'b' } },
      { add: { inputs: ['all', 'a', 'b'] } },
      'dense',
    ]);
    const widths = ['all', 'a', 'b'].map(
      (name) => draft.model.graph.initializers.get(`${name}/kernel`)!.dims,
    );
    expect(widths).toEqual([
      [4, 2],
      [1, 2],
      [3, 2],
    ]);
    expect(await read(draft, inputOf(draft, 'a'))).toEqual([-1, -0.5, 1.5]);
  });

  it('give ids a branch beside numbers', () => {
    const mixed = mixedDataset();
    const { signature } = mixed;
    const words = { name: 'words', type: 'array', input: 'words', column: 0, shape: [4], ids: 9 } as const;
    const dataset: Dataset = {
      ...mixed,
      signature: {
        ...signature,
        features: [...signature.features, words],
        inputs: [...signature.inputs, { name: 'words', dtype: 'int64', shape: ['N', 4] }],
      },
    };
    const branches = [
      { embedding: { outputDim: 3, inputs: 'said' } },
      { lstm: { units: 5, name: 'left' } },
      { dense: { units: 2, inputs: 'rest', name: 'right' } },
      { concatenate: { inputs: ['left', 'right'] } },
      'dense',
    ];
    const groups = { said: ['words'], rest: ['size', 'constant', 'colour'] };
    const { initializers } = build(groups, branches, dataset).model.graph;
    expect(initializers.get('embedding_1/embeddings')!.dims).toEqual([9, 3]);
    expect(initializers.get('dense_2/kernel')!.dims).toEqual([7, 3]);
    expect(() => build({}, ['dense'], dataset)).toThrow('"words" holds ids');
  });

  it('leave a model without them as it was', () => {
    const written = [{ dense: { units: 3 } }, 'dense'];
    expect(build({}, written)).toEqual(buildModel(schema.parse(written), mixedDataset(), { seed: 1, place }));
  });

  it.each([
    [{ sizes: ['width'] }, 'features', 'the data has no feature "width"', 'train.model.inputs.sizes.0'],
    [{ sizes: ['size'] }, 'features', 'no layer reads the input "sizes"', 'train.model.inputs.sizes'],
    [{ sizes: ['size'] }, 'sizes', 'no layer reads colour, constant', 'train.model.inputs'],
    [{ sizes: ['size'], hidden: ['colour'] }, 'sizes', 'an input and a layer are both named "hidden"', ''],
    [{ sizes: ['size'] }, 'sises', 'no layer before this one is named "sises"', 'dense.inputs.0'],
  ])('%j read as %s: %s', (groups, inputs, message, at) => {
    const attempt = (): unknown => build(groups, [{ dense: { units: 2, inputs, name: 'hidden' } }, 'dense']);
    expect(attempt).toThrow(message);
    try {
      attempt();
    } catch (error) {
      expect((error as MaasError).place!.file).toContain(at);
    }
  });
});
