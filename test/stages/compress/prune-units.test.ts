import { describe, expect, it } from 'vitest';
import { signalToNoise } from '../../../src/evaluate/metrics.js';
import type { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Model } from '../../../src/ir/graph.js';
import { tensor, valuesOf } from '../../../src/ir/tensor.js';
import type { Feeds } from '../../../src/runtime/session.js';
import { pruneUnitsPass } from '../../../src/stages/compress/index.js';
import { stridesOf } from '../../../src/stages/compress/passes/prune-units/cut.js';
import { findSpaces } from '../../../src/stages/compress/passes/prune-units/find-spaces.js';
import { build, passModels, values, weight, type PassModel } from '../../conformance/pass-models.js';
import { contextOf, runModel } from '../../conformance/pass-suite.js';

const context = (feeds?: Feeds) => ({
  ...contextOf(feeds ?? {}),
  calibration: () => Promise.resolve(feeds ? [feeds] : []),
});

const prune = (model: Model, options: object, feeds?: Feeds) =>
  pruneUnitsPass.run(model, pruneUnitsPass.options.parse({ multiple: 1, ...options }), context(feeds));

async function decibels(one: Model, other: Model, feeds: Feeds): Promise<number> {
  const [before, after] = [await runModel(one, feeds), await runModel(other, feeds)];
  const numbers = (outputs: typeof before) =>
    Object.values(outputs)
      .filter((array) => typeof array[0] === 'number')
      .flat() as number[];
  return signalToNoise(numbers(before), numbers(after));
}

/** Self-attention with `heads` of 4, and a feed-forward part of 16 neurons, as exporters write it. */
function attention(heads: number): PassModel {
  const width = 4 * heads;
  return build(`attention with ${heads} heads`, { x: values(2, 5, 8) }, (graph) => {
    const dense = (x: string, from: number, to: number) =>
      graph.op('Add', [
        graph.op('MatMul', [x, graph.constant(weight(from, to))]),
        graph.constant(weight(to)),
      ]);
    const split = (perm: number[]) =>
      graph.op('Transpose', [graph.op('Reshape', [dense('x', 8, width), graph.int64s([0, 5, heads, 4])])], {
        perm: attr.ints(perm),
      });
    const scores = graph.op('MatMul', [split([0, 2, 1, 3]), split([0, 2, 3, 1])]);
    const shares = graph.op('Softmax', [graph.op('Mul', [scores, graph.scalar(0.5)])], {
      axis: attr.int(-1),
    });
    const gathered = graph.op('Transpose', [graph.op('MatMul', [shares, split([0, 2, 1, 3])])], {
      perm: attr.ints([0, 2, 1, 3]),
    });
    const out = dense(graph.op('Reshape', [gathered, graph.int64s([0, 5, width])]), width, 8);
    const sum = graph.op('LayerNormalization', [graph.op('Add', ['x', out]), graph.constant(weight(8))]);
    return graph.op('Add', [dense(graph.op('Relu', [dense(sum, 8, 16)]), 16, 8), sum]);
  });
}

const flattened = build('a flattened image', { x: values(3, 2, 6, 6) }, (graph) => {
  const image = graph.op('Relu', [
    graph.op('Conv', ['x', graph.constant(weight(8, 2, 3, 3)), graph.constant(weight(8))]),
  ]);
  const row = graph.op('Flatten', [image]);
  return graph.op('Gemm', [row, graph.constant(weight(128, 5)), graph.constant(weight(5))]);
});

const reshaped = build('a row by Reshape', { x: values(3, 2, 6, 6) }, (graph) => {
  const image = graph.op('Tanh', [graph.op('Conv', ['x', graph.constant(weight(8, 2, 3, 3))])]);
  const row = graph.op('Reshape', [image, graph.int64s([-1, 128])]);
  return graph.op('Gemm', [row, graph.constant(weight(5, 128))], { transB: attr.int(1) });
});

const shrinkable = [attention(4), flattened, reshaped, ...passModels()];

/** The model with weights of 0 behind every second unit that can go. */
function deaden(model: Model): Model {
  const initializers = new Map(model.graph.initializers);
  for (const { locked, size, consumers } of findSpaces(model)) {
    if (locked !== undefined) continue;
    for (const { constant: name, axis, width } of consumers) {
      const constant = initializers.get(name)!;
      const { length, inner } = stridesOf(constant.dims, axis);
      const dead = (valuesOf(constant) as Float32Array).map((value, at) =>
        Math.floor((Math.floor(at / inner) % length) / width) % 2 === 0 && size > 1 ? 0 : value,
      );
      initializers.set(name, tensor('float32', constant.dims, dead));
    }
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

describe('pruneUnits', () => {
  it.each(shrinkable)('takes out what adds nothing, and nothing else: $name', async ({ model, feeds }) => {
    const dead = deaden(model);
    const { model: after, report } = await prune(dead, { ratio: 0.5, repair: false });
    expect(await decibels(dead, after, feeds)).toBeGreaterThan(100);
    expect(after.graph.outputs).toEqual(model.graph.outputs);
    if (!report.changed) expect(after).toBe(dead);
  });

  const changes = async ({ model }: PassModel, options: object = {}) => {
    const { report } = await prune(model, { ratio: 0.5, ...options });
    return report.applied?.map(({ note }) => note);
  };

  it('knows heads, neurons, and channels that a sum ties together', async () => {
    expect(await changes(attention(4))).toEqual([
      ...['4 → 2 heads', '4 → 2 heads', '4 → 2 heads'],
      '16 → 8 neurons',
    ]);
    expect(await changes(attention(4), { units: ['heads'] })).toHaveLength(3);
    const residual = passModels().find(({ name }) => name.startsWith('a residual net'))!;
    expect(await changes(residual)).toEqual([
      '6 → 3 channels',
      '6 → 3 channels',
      '6 → 3 channels',
      '8 → 4 channels',
    ]);
    const depthwise = passModels().find(({ name }) => name.startsWith('a depthwise'))!;
    // The last channels are the outputs.
    expect(await changes(depthwise)).toEqual([]);
  });

  it('leaves a multiple of so many, another ratio where it is asked for, and what is excluded', async () => {
    expect(await changes(attention(4), { multiple: 8, ratio: 0.4, units: ['neurons'] })).toEqual([]);
    expect(await changes(attention(4), { multiple: 2, ratio: 0.4, units: ['neurons'] })).toEqual([
      '16 → 10 neurons',
    ]);
    const label = (await prune(attention(4).model, { units: ['neurons'] })).report.applied![0]!.node;
    expect(await changes(attention(4), { units: ['neurons'], layers: { [label]: 0.75 } })).toEqual([
      '16 → 4 neurons',
    ]);
    expect(await changes(attention(4), { exclude: [label], units: ['neurons'] })).toEqual([]);
  });

  it('takes the weakest anywhere when the scope is global', async () => {
    const { model, report } = await prune(attention(4).model, { scope: 'global', ratio: 0.5 });
    const [before, after] = [attention(4).model, model]
      .map(findSpaces)
      .map((spaces) =>
        spaces.filter(({ locked }) => locked === undefined).reduce((sum, { size }) => sum + size, 0),
      );
    expect(report.changed).toBe(true);
    expect([before, after]).toEqual([20, 10]);
  });

  it.each([attention(4), flattened, shrinkable.find(({ name }) => name.startsWith('a residual'))!])(
    'makes up for what is gone: $name',
    async ({ model, feeds }) => {
      const plain = await prune(model, { ratio: 0.25, repair: false }, feeds);
      const repaired = await prune(model, { ratio: 0.25 }, feeds);
      const [before, after] = [
        await decibels(model, plain.model, feeds),
        await decibels(model, repaired.model, feeds),
      ];
      expect(after).toBeGreaterThan(before + 1);
    },
  );

  it('loses nothing where units say the same', async () => {
    const twice = (graph: GraphBuilder): string => {
      const half = valuesOf(weight(6, 4)) as Float32Array;
      const both = Float32Array.from(
        { length: 48 },
        (_, at) => half[Math.floor(at / 8) * 4 + (at % 4)]! * (at % 8 < 4 ? 1 : 2),
      );
      const hidden = graph.op('Gemm', ['x', graph.constant(tensor('float32', [6, 8], both))]);
      return graph.op('Gemm', [
        graph.op('Relu', [hidden]),
        graph.constant(weight(8, 3)),
        graph.constant(weight(3)),
      ]);
    };
    const { model, feeds } = build('twice', { x: values(40, 6) }, twice);
    const { model: after } = await prune(model, { ratio: 0.5 }, feeds);
    expect(await decibels(model, after, feeds)).toBeGreaterThan(30);
  });

  it('says why units stay', async () => {
    const { report } = await prune(attention(4).model, {});
    expect(report.skipped.map(({ reason }) => reason)).toContainEqual(
      expect.stringMatching(/^Add .* reads it$/),
    );
    const shared = passModels().find(({ name }) => name.startsWith('one input for two layers'))!;
    expect((await prune(shared.model, {})).report.skipped[0]!.reason).toMatch(/have other readers/);
  });

  it('cannot train on a file', async () => {
    await expect(prune(attention(4).model, { fineTune: {} })).rejects.toMatchObject({ code: 'MAAS_USAGE' });
  });
});
