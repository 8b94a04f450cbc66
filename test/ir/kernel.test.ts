import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import type { Graph } from '../../src/ir/graph.js';
import { compileKernel } from '../../src/ir/kernel.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { optimizers, type OptimizerOptions } from '../../src/ir/optimizers.js';
import { tensor } from '../../src/ir/tensor.js';
import { openSession } from '../../src/runtime/session.js';
import { openBank } from '../../src/runtime/thread/bank.js';

const size = 37;
/** Numbers of both signs and many magnitudes, zeros among them. */
const numbers = (seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, at) => {
    const value = Math.sin(at * 12.9898 + seed * 78.233) * 10 ** (((at * 7) % 9) - 5);
    return at % 11 === 0 ? 0 : value;
  });

/** What onnxruntime gives for a graph of vectors of `size` and scalars, by output. */
async function runGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Float32Array>>,
): Promise<Float32Array[]> {
  const model = { irVersion: 10, opsets: { '': 21 }, producer: '', graph, metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  const found = await session.run(
    Object.fromEntries(
      graph.inputs.map(({ name, shape }) => [
        name,
        { dtype: 'float32', dims: shape as number[], data: feeds[name]! },
      ]),
    ),
  );
  await session.close();
  return graph.outputs.map(({ name }) => found[name]!.data as Float32Array);
}

/** The same by a kernel, for two tensors that lie in one bank. */
function runKernel(
  graph: Graph,
  into: readonly string[],
  feeds: Readonly<Record<string, Float32Array>>,
): Float32Array[][] {
  const kernel = compileKernel(graph, into)!;
  const members = ['a', 'b'].map((member) => ({
    dims: [size],
    names: kernel.tensors.map((name) => `${member}.${name}`),
  }));
  const bank = openBank({ kernel, members });
  for (const [name, { data }] of bank.tensors) (data as Float32Array).set(feeds[name.slice(2)]!);
  bank.run(kernel.scalars.map((name) => feeds[name]![0]!));
  return ['a', 'b'].map((member) =>
    into.map((name) => bank.tensors.get(`${member}.${name}`)!.data as Float32Array),
  );
}

const everything: OptimizerOptions = {
  momentum: 0.9,
  weightDecay: 0.01,
  decayVectors: true,
  nesterov: true,
  centered: true,
};

const vector = (g: GraphBuilder, name: string): string => g.input(name, 'float32', [size]);

describe('compileKernel', () => {
  it.each(Object.entries(optimizers).filter(([, { looksAtWhole }]) => looksAtWhole !== true))(
    'updates by %s in the bits that onnxruntime gives',
    async (_, optimizer) => {
      for (const more of [{}, everything]) {
        const options: OptimizerOptions = { ...optimizer.defaults, ...more };
        const g = new GraphBuilder('update');
        const slots = Object.keys(optimizer.slots(options));
        const scalars = Object.entries(optimizer.scalars(options, 3));
        const next = optimizer.emit(
          g,
          {
            parameter: vector(g, 'weight'),
            gradient: vector(g, 'gradient'),
            slots: Object.fromEntries(slots.map((slot) => [slot, vector(g, slot)])),
            scalars: Object.fromEntries(scalars.map(([key]) => [key, g.input(`now.${key}`, 'float32', [])])),
          },
          options,
        );
        for (const name of [next.parameter, ...slots.map((slot) => next.slots[slot]!)]) g.output(name);
        const graph = g.build();
        const feeds = {
          weight: numbers(1),
          gradient: numbers(2),
          // Sums of squares are not negative.
          ...Object.fromEntries(slots.map((slot, at) => [slot, numbers(3 + at).map(Math.abs)])),
          ...Object.fromEntries(scalars.map(([key, value]) => [`now.${key}`, Float32Array.of(value)])),
        };
        const expected = await runGraph(graph, feeds);
        expect(runKernel(graph, ['weight', ...slots], feeds)).toEqual([expected, expected]);
      }
    },
  );

  it('knows the sign of what is no number of either sign', async () => {
    const g = new GraphBuilder();
    g.output(g.op('Sign', [vector(g, 'x')]));
    const x = Float32Array.from(
      { length: size },
      (_, at) => [0, -0, 1e-45, -1e-45, Infinity, -Infinity][at % 6]!,
    );
    const expected = await runGraph(g.build(), { x });
    const zeros = (values: Float32Array) => values.map((value) => value + 0);
    expect(runKernel(g.build(), ['x'], { x })[0]!.map(zeros)).toEqual(expected.map(zeros));
  });

  it('refuses what it cannot say: other operators, and constants of several elements', () => {
    const reduced = new GraphBuilder();
    reduced.output(reduced.op('ReduceSum', [vector(reduced, 'x')]));
    expect(compileKernel(reduced.build(), ['x'])).toBeUndefined();
    const added = new GraphBuilder();
    added.output(
      added.op('Add', [vector(added, 'x'), added.constant(tensor('float32', [size], numbers(1)))]),
    );
    expect(compileKernel(added.build(), ['x'])).toBeUndefined();
  });

  it('goes over more than one call holds', () => {
    const g = new GraphBuilder();
    const length = 2 ** 17 + 3;
    g.output(g.op('Add', [g.input('x', 'float32', [length]), g.scalar(1)]));
    const kernel = compileKernel(g.build(), ['x'])!;
    const bank = openBank({ kernel, members: [{ dims: [length], names: ['x'] }] });
    bank.run([]);
    const { data } = bank.tensors.get('x')!;
    expect((data as Float32Array).every((value) => value === 1)).toBe(true);
  });
});
