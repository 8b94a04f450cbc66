import { signalToNoise } from '../../../evaluate/metrics.js';
import { attr } from '../../../ir/graph.js';
import { fromHalf, toHalves } from '../../../ir/half.js';
import { dtypes, tensor } from '../../../ir/tensor.js';
import { defineStorage } from './store-constants.js';

const floatCode = dtypes.indexOf('float32') + 1;

/**
 * What: stores float32 constants as float16, and turns them back when the model is loaded.
 * Why: half the file; the computation, and its speed, stay as they were.
 * Example: MatMul(x, W) → MatMul(x, Cast(W₁₆)).
 */
export const storeHalvesPass = defineStorage(
  'storeHalves',
  'Store float32 constants as float16; compute as before.',
  1,
  (name, { dims }, values, fresh) => {
    const halves = toHalves(values);
    const restored = Float32Array.from(halves, fromHalf);
    if (!restored.every(Number.isFinite)) return 'it holds numbers that float16 cannot';
    const stored = fresh(`${name}_float16`);
    const cast = {
      op: 'Cast',
      domain: '',
      name: fresh(`${name}_Cast`),
      inputs: [stored],
      outputs: [name],
      attributes: { to: attr.int(floatCode) },
    };
    return {
      note: `float16, keeps ${signalToNoise(values, restored).toFixed(1)} dB`,
      initializers: [[stored, tensor('float16', dims, halves)]],
      nodes: [cast],
    };
  },
);
