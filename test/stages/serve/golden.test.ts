import { describe, expect, it } from 'vitest';
import { parseGolden } from '../../../src/stages/serve/golden.js';

describe('parseGolden', () => {
  it('reads null as NaN: a row without that feature is answered as such, not as if it were 0', () => {
    const array = { dtype: 'float32', dims: [1, 2], data: [1.5, null] };
    const { inputs } = parseGolden({ inputs: { features: array }, outputs: {}, tolerance: 1e-4 });
    expect(inputs['features']).toEqual({ dtype: 'float32', dims: [1, 2], data: Float32Array.of(1.5, NaN) });
  });
});
