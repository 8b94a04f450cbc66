import { MaasError, type Place } from '../../errors.js';
import type { TrainOptions } from './config.js';

/**
 * Holds figures of the test split to the gates of the config. A figure that is no number passes none.
 * @throws MaasError MAAS_GATE_FAILED for figures out of bounds, MAAS_CONFIG_INVALID for a gate on a figure that this
 * kind of model does not have.
 */
export function checkGates(
  gates: TrainOptions['gates'],
  figures: Readonly<Record<string, number>>,
  place: Place,
): void {
  const failures: string[] = [];
  for (const [name, limits] of Object.entries(gates)) {
    if (limits === undefined) continue;
    const figure = figures[name];
    if (figure === undefined) {
      throw new MaasError('MAAS_CONFIG_INVALID', `train.gates.${name} does not go with this kind of target`, {
        place,
        hint: `The figures are: ${Object.keys(figures).join(', ')}.`,
      });
    }
    const { min = -Infinity, max = Infinity } = limits;
    if (figure >= min && figure <= max) continue;
    const bound = figure > max ? `above ${max}` : `not at least ${min}`;
    failures.push(`${name} is ${Number(figure.toPrecision(4))}, ${bound}`);
  }
  if (failures.length === 0) return;
  throw new MaasError(
    'MAAS_GATE_FAILED',
    `the model is not good enough on the test split: ${failures.join('; ')}`,
    {
      place,
      hint: 'The previous model stays in place. Train longer, give it more data, or loosen train.gates.',
    },
  );
}
