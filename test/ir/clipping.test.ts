import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { clipGradients, type Clip } from '../../src/ir/clipping.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { openSession } from '../../src/runtime/session.js';

/** Clips the gradients of two parameters, of two elements and of one. */
async function clip(bounds: Clip, a: [number, number], b: number): Promise<number[]> {
  const g = new GraphBuilder();
  const gradients = new Map([
    ['a', g.input('a', 'float32', [2])],
    ['b', g.input('b', 'float32', [1, 1])],
  ]);
  const clipped = clipGradients(g, gradients, bounds);
  for (const [name, value] of clipped) g.output(value, `clipped_${name}`);
  const model = { irVersion: 10, opsets: { '': 21 }, producer: '', graph: g.build(), metadata: {} };
  const session = await openSession(encodeModel(model), { optimization: 'basic' });
  try {
    const found = await session.run({
      a: { dtype: 'float32', dims: [2], data: Float32Array.from(a) },
      b: { dtype: 'float32', dims: [1, 1], data: Float32Array.of(b) },
    });
    return ['a', 'b'].flatMap((name) => Array.from(found[`clipped_${name}`]!.data, Number));
  } finally {
    await session.close();
  }
}

const element = fc.integer({ min: -50, max: 50 }).map((value) => value / 10);

describe('clipping', () => {
  it('by norm scales all gradients by one factor, and leaves short ones as they are', async () => {
    await fc.assert(
      fc.asyncProperty(element, element, element, async (x, y, z) => {
        const length = Math.hypot(x, y, z);
        const factor = Math.min(1, 2 / (length + 1e-6));
        (await clip({ norm: 2 }, [x, y], z)).forEach((value, index) => {
          expect(value).toBeCloseTo([x, y, z][index]! * factor, 5);
        });
      }),
      { numRuns: 20 },
    );
  });

  it('by norm keeps a gradient of 0', async () => {
    expect(await clip({ norm: 1 }, [0, 0], 0)).toEqual([0, 0, 0]);
  });

  it('by value bounds each element alone', async () => {
    expect(await clip({ value: 0.5 }, [3, -0.25], -7)).toEqual([0.5, -0.25, -0.5]);
  });

  it('by both bounds values first', async () => {
    const found = await clip({ value: 3, norm: 2.5 }, [100, 4], 0);
    [3, 3, 0].forEach((value, index) => {
      expect(found[index]).toBeCloseTo((value * 2.5) / Math.hypot(3, 3), 5);
    });
  });
});
