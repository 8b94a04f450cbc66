import type { Named } from '../../../config/named.js';
import { signalToNoise } from '../../../evaluate/metrics.js';
import type { Model } from '../../../ir/graph.js';
import { openModel } from '../../../runtime/open-model.js';
import type { Feeds } from '../../../runtime/session.js';
import type { Workshop } from './workshop.js';

/** What a layer costs by itself. */
export interface Sensitivity {
  readonly node: string;
  /** Of the outputs of the model when this layer alone is changed, in dB. */
  readonly signalToNoise: number;
}

/**
 * Changes one layer at a time and sees how far the outputs move; the most sensitive come first.
 * @param step A pass with the option `exclude`, and the layers that it changes.
 * @param isOver Asked before each layer; those left out are not among what is returned.
 */
export async function measureSensitivity(
  model: Model,
  step: Named,
  layers: readonly string[],
  probe: Feeds,
  { workshop, isOver }: { readonly workshop: Workshop; readonly isOver: () => boolean },
): Promise<Sensitivity[]> {
  const reference = await outputsOf(model, probe);
  const measured: Sensitivity[] = [];
  for (const node of layers) {
    if (isOver()) break;
    const exclude = layers.filter((other) => other !== node);
    const options = { ...(step.options as object), exclude };
    const { model: changed } = await workshop.build(model, [{ ...step, options }]);
    const outputs = await outputsOf(changed, probe);
    const ratios = reference.map((values, index) => signalToNoise(values, outputs[index]!));
    const least = ratios.some(Number.isNaN) ? -Infinity : Math.min(...ratios);
    measured.push({ node, signalToNoise: least });
  }
  const rank = ({ signalToNoise: noise }: Sensitivity): number =>
    noise === Infinity ? Number.MAX_VALUE : noise;
  return measured.sort((a, b) => (a.signalToNoise === b.signalToNoise ? 0 : rank(a) - rank(b)));
}

/** The outputs that are real numbers. */
async function outputsOf(model: Model, probe: Feeds): Promise<Float32Array[]> {
  const session = await openModel(model);
  try {
    const outputs = Object.values(await session.run(probe));
    return outputs.flatMap(({ dtype, data }) => (dtype === 'float32' ? [data as Float32Array] : []));
  } finally {
    await session.close();
  }
}
