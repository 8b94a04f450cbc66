import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { gradients } from '../../../../src/ir/gradient.js';
import type { Graph } from '../../../../src/ir/graph.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor } from '../../../../src/ir/tensor.js';
import { openSession } from '../../../../src/runtime/session.js';
import { openLayers } from '../../../../src/stages/train/layers/emit-layers.js';
import { layers, type LayerName } from '../../../../src/stages/train/layers/index.js';

interface Case {
  readonly layer: LayerName;
  readonly options: object;
  /** How many ids the input holds, where it holds any. */
  readonly ids?: number;
  readonly input: readonly number[];
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

const fixture = new URL('../../../fixtures/torch/layers.json', import.meta.url);
const cases = JSON.parse(readFileSync(fixture, 'utf8')) as Case[];

const place = () => ({ file: 'maas.config.yaml' });
const count = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);
const waves = (dims: readonly number[], wave: (k: number) => number) =>
  tensor(
    'float32',
    dims,
    Float32Array.from({ length: count(dims) }, (_, k) => wave(k)),
  );

/** A graph of one layer, its weights as the fixture has them. */
function build({ layer, options, input, ids }: Case): { graph: Graph; trainable: readonly string[] } {
  const g = new GraphBuilder();
  g.input('x', ids ? 'int64' : 'float32', ['N', ...input.slice(1)]);
  const emitter = openLayers(g, { seed: 1, path: ['layers'], place, ids: new Map([['x', ids]]) });
  const sources = new Map([['features', () => 'x']]);
  g.output(emitter.emit([{ name: layer, options: layers[layer].options.parse(options) }], sources), 'y');
  const graph = g.build();
  const initializers = new Map(graph.initializers);
  for (const name of emitter.trainable) {
    const part = name.split('/')[1]!;
    initializers.set(
      name,
      waves(graph.initializers.get(name)!.dims, (k) => Math.sin(0.9 * k + part.length) / 2),
    );
  }
  return { graph: { ...graph, initializers }, trainable: emitter.trainable };
}

async function run(graph: Graph, { input: dims, ids }: Case) {
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph, metadata: {} };
  const session = await openSession(encodeModel(model));
  try {
    const x = ids
      ? {
          dtype: 'int64' as const,
          data: BigInt64Array.from({ length: count(dims) }, (_, k) => BigInt((5 * k) % ids)),
        }
      : {
          dtype: 'float32' as const,
          data: Float32Array.from({ length: count(dims) }, (_, k) => Math.sin(1.3 * k)),
        };
    return await session.run({ x: { ...x, dims } });
  } finally {
    await session.close();
  }
}

describe('layers give what PyTorch gives', () => {
  it.each(cases.map((each) => [each.layer, JSON.stringify(each.options), each] as const))(
    '%s %s',
    async (_layer, _options, each) => {
      const { graph } = build(each);
      expect(graph.outputs[0]!.shape).toEqual(['N', ...each.dims.slice(1)]);
      const { y } = await run(graph, each);
      expect(y!.dims).toEqual(each.dims);
      const worst = each.values.reduce(
        (most, value, k) => Math.max(most, Math.abs(value - Number(y!.data[k]))),
        0,
      );
      expect(worst).toBeLessThan(2e-6);
    },
  );

  it('for each kind of layer that computes something of its own', () => {
    const others = ['dense', 'dropout', 'activation', 'residual'];
    const merging = ['concatenate', 'add', 'subtract', 'multiply', 'average', 'maximum', 'minimum'];
    const shown = new Set<string>([...cases.map(({ layer }) => layer), ...others, ...merging]);
    expect(Object.keys(layers).filter((name) => !shown.has(name))).toEqual([]);
  });
});

describe('layers can be trained', () => {
  it.each(cases.map((each) => [each.layer, JSON.stringify(each.options), each] as const))(
    '%s %s',
    (_layer, _options, each) => {
      const { graph, trainable } = build(each);
      const g = new GraphBuilder({ ...graph, outputs: [] });
      const loss = g.op('ReduceMean', ['y']);
      const moving = each.ids ? trainable : [...trainable, 'x'];
      expect([...gradients(g, loss, moving).keys()].toSorted()).toEqual(moving.toSorted());
    },
  );
});
