import { MaasError } from '../../../../errors.js';

export interface EngineOptions {
  /** Least time between two checkpoints; 0 writes one at every step. */
  readonly checkpointSeconds: number;
}

const defaults: EngineOptions = { checkpointSeconds: 1 };

/** @throws MaasError MAAS_CONFIG_INVALID for what the engine does not know. */
export function readOptions(given: Readonly<Record<string, unknown>>): EngineOptions {
  const { checkpointSeconds = defaults.checkpointSeconds, ...others } = given;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new MaasError('MAAS_CONFIG_INVALID', `the onnx engine has no option "${unknown}"`, {
      hint: `It takes ${Object.keys(defaults).join(', ')}.`,
    });
  }
  if (typeof checkpointSeconds !== 'number' || !(checkpointSeconds >= 0)) {
    throw new MaasError('MAAS_CONFIG_INVALID', 'checkpointSeconds of the onnx engine must be 0 or more');
  }
  return { checkpointSeconds };
}
