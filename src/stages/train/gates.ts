import { placeIn } from '../../config/index.js';
import type { Signature } from '../../data/index.js';
import { MaasError } from '../../errors.js';
import type { Project } from '../../plugin/api.js';
import { explainMisfit } from './figure-names.js';
import type { Gates } from './gate-options.js';

/**
 * Before the work: every gate has a figure that this kind of model can have.
 * @throws MaasError MAAS_CONFIG_INVALID
 */
export function checkGateNames(gates: Gates, signature: Signature, project: Project): void {
  for (const name of Object.keys(gates)) {
    const misfit = explainMisfit(name, signature);
    if (misfit === undefined) continue;
    const { message, hint } = misfit;
    const place = placeIn(project, ['train', 'gates', name]);
    throw new MaasError('MAAS_CONFIG_INVALID', `train.gates: ${message}`, { place, hint });
  }
}

/**
 * Holds figures of the test split to the gates of the config. A figure that is no number, or not defined for these rows,
 * passes none.
 * @throws MaasError MAAS_GATE_FAILED
 */
export function checkGates(gates: Gates, figures: Readonly<Record<string, number>>, project: Project): void {
  const failed = Object.entries(gates).flatMap(([name, limits]) => {
    if (limits === undefined) return [];
    const figure = figures[name];
    if (figure === undefined) return [{ name, text: `${name} is not defined for its rows` }];
    const { min = -Infinity, max = Infinity } = limits;
    if (figure >= min && figure <= max) return [];
    const bound = figure > max ? `above ${max}` : `not at least ${min}`;
    return [{ name, text: `${name} is ${Number(figure.toPrecision(4))}, ${bound}` }];
  });
  if (failed.length === 0) return;
  const texts = failed.map(({ text }) => text).join('; ');
  throw new MaasError('MAAS_GATE_FAILED', `the model is not good enough on the test split: ${texts}`, {
    place: placeIn(project, ['train', 'gates', failed[0]!.name]),
    hint: 'The previous model stays in place. Train longer, give it more data, or loosen train.gates.',
  });
}
