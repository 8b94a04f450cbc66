import { describe, expect, it } from 'vitest';
import { checkGates } from '../../../src/stages/train/gates.js';

const place = { file: 'maas.config.yaml' };
const figures = { accuracy: 0.91, logLoss: 0.3 };

describe('checkGates', () => {
  it('lets figures on the bounds pass', () => {
    checkGates({ accuracy: { min: 0.91 }, logLoss: { min: 0.1, max: 0.3 } }, figures, place);
    checkGates({}, figures, place);
  });

  it('names every figure out of bounds, and ends with the exit code of gates', () => {
    const attempt = (): void => {
      checkGates({ accuracy: { min: 0.95 }, logLoss: { max: 0.2 } }, figures, place);
    };
    expect(attempt).toThrow(
      expect.objectContaining({
        code: 'MAAS_GATE_FAILED',
        exitCode: 3,
        message:
          'the model is not good enough on the test split: accuracy is 0.91, not at least 0.95; logLoss is 0.3, above 0.2',
      }) as Error,
    );
  });

  it('lets no NaN pass', () => {
    expect(() => {
      checkGates({ accuracy: { min: 0 } }, { accuracy: NaN }, place);
    }).toThrow('accuracy is NaN');
  });

  it('refuses a gate on a figure that is not there', () => {
    expect(() => {
      checkGates({ r2: { min: 0.5 } }, figures, place);
    }).toThrow(expect.objectContaining({ code: 'MAAS_CONFIG_INVALID' }) as Error);
  });
});
