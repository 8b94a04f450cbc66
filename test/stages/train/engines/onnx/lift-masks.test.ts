import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import type { Graph } from '../../../../../src/ir/graph.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { inferTypes } from '../../../../../src/ir/shapes.js';
import { tensor } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { liftMasks } from '../../../../../src/stages/train/engines/onnx/lift-masks.js';
import { noise } from './jobs.js';

const size = 5;
/** Queries see what comes before them, and themselves. */
const causal = (low: number): number[] =>
  Array.from({ length: size ** 2 }, (_, at) => (at % size > Math.floor(at / size) ? low : 0));

function graphOf(emit: (g: GraphBuilder, scores: string) => string): Graph {
  const g = new GraphBuilder();
  g.output(g.op('Softmax', [emit(g, g.input('scores', 'float32', ['N', 2, size, size]))]), 'shares');
  return g.build();
}

const added = (low: number) =>
  graphOf((g, scores) => g.op('Add', [scores, g.constant(tensor('float32', [size, size], causal(low)))]));

const chosen = graphOf((g, scores) => {
  const seen = tensor(
    'bool',
    [size, size],
    causal(-1).map((hidden) => 1 + hidden),
  );
  return g.op('Where', [g.constant(seen), scores, g.scalar(-1e30)]);
});

/** @param factor Of scores in (−1, 1). */
async function run(graph: Graph, factor = 1): Promise<Float32Array> {
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph, metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  const data = noise(2 * 2 * size ** 2, 'scores').map((value) => value * factor);
  const found = await session.run({ scores: { dtype: 'float32', dims: [2, 2, size, size], data } });
  await session.close();
  return found['shares']!.data as Float32Array;
}

describe('liftMasks', () => {
  it.each([
    ['a large negative number', added(-1e9)],
    ['minus infinity', added(-Infinity)],
    ['another number where nothing is to be seen', chosen],
  ])('keeps shares away from numbers that are hardly any, and as they are: %s', async (_, graph) => {
    const lifted = liftMasks(graph, 21);
    expect(inferTypes(lifted).get('shares')).toEqual(inferTypes(graph).get('shares'));
    for (const factor of [1, 500]) {
      const [found, wanted] = [await run(lifted, factor), await run(graph, factor)];
      expect(Math.min(...found)).toBeGreaterThan(1e-20);
      for (const [at, value] of found.entries()) expect(Math.abs(value - wanted[at]!)).toBeLessThan(1e-17);
    }
  });

  it('leaves alone what no mask is added to, classes, and operator sets that say it otherwise', () => {
    const plain = graphOf((g, scores) => g.op('Mul', [scores, g.scalar(0.5)]));
    expect(liftMasks(plain, 21)).toEqual(plain);
    const g = new GraphBuilder();
    const logits = g.op('Add', [g.input('x', 'float32', ['N', 3]), g.input('b', 'float32', [3])]);
    g.output(g.op('Softmax', [logits]));
    const classes = g.build();
    expect(liftMasks(classes, 21)).toEqual(classes);
    const old = added(-1e9);
    expect(liftMasks(old, 17)).toBe(old);
  });
});
