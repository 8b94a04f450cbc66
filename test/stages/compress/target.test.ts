import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { valuesOf } from '../../../src/ir/tensor.js';
import { readInstructionSet } from '../../../src/runtime/cpu.js';
import { classifier } from '../../evaluate/models.js';
import { makeCompressBench } from './bench.js';

const section = (more: object) => ({
  passes: ['fold', { quantize: { minElements: 1, ...more } }],
  // Sums that overflow on avx2 are let be: they are what 7 bits are for.
  gates: { latency: { maxRatio: 100 }, accuracy: { maxDrop: 0.1 }, overflow: { maxShare: 1 } },
});

async function largestOf(artifact: string): Promise<number> {
  const { graph } = await loadModel(join(artifact, 'model.onnx'));
  const integers = [...graph.initializers.values()].filter(({ dtype }) => dtype === 'int8');
  return Math.max(...integers.flatMap((each) => Array.from(valuesOf(each) as Int8Array, Math.abs)));
}

it('the target decides how many bits weights have, unless the pass says it', async () => {
  const bench = await makeCompressBench(classifier(64));
  const [, short] = await bench.run({ ...section({}), target: 'avx2' });
  expect(await largestOf(short!.artifact!)).toBe(63);
  expect(short!.metrics['target']).toBe('avx2');
  const [, whole] = await bench.run({ ...section({}), target: 'avx512-vnni' });
  expect(await largestOf(whole!.artifact!)).toBe(127);
  const [, told] = await bench.run({ ...section({ reduceRange: false }), target: 'avx2' });
  expect(await largestOf(told!.artifact!)).toBe(127);
  const here = await readInstructionSet();
  const notes = [short, whole]
    .flatMap((outcome) => outcome!.notes)
    .filter((note) => note.startsWith('times are'));
  expect(notes).toHaveLength(['avx2', 'avx512-vnni'].filter((target) => target !== here).length);
  const [, own] = await bench.run(section({}));
  expect(own!.metrics['target']).toBe(here);
});
