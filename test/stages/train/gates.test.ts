import { describe, expect, it } from 'vitest';
import type { Signature } from '../../../src/data/signature.js';
import type { Project } from '../../../src/plugin/api.js';
import type { Gates } from '../../../src/stages/train/gate-options.js';
import { checkGateNames, checkGates } from '../../../src/stages/train/gates.js';

const project: Project = { name: 'p', seed: 1, root: '/', configFile: '/maas.config.yaml', config: {} };
const figures = { accuracy: 0.91, logLoss: 0.3 };

describe('checkGates', () => {
  it('lets figures on the bounds pass', () => {
    checkGates({ accuracy: { min: 0.91 }, logLoss: { min: 0.1, max: 0.3 } }, figures, project);
    checkGates({}, figures, project);
  });

  it('names every figure out of bounds, and ends with the exit code of gates', () => {
    const attempt = (): void => {
      checkGates({ accuracy: { min: 0.95 }, logLoss: { max: 0.2 } }, figures, project);
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
      checkGates({ accuracy: { min: 0 } }, { accuracy: NaN }, project);
    }).toThrow('accuracy is NaN');
  });

  it('lets nothing pass that is not defined', () => {
    expect(() => {
      checkGates({ rocAuc: { min: 0 } }, figures, project);
    }).toThrow('rocAuc is not defined for its rows');
  });

  it('refuses, before the work, a gate on a figure that cannot be there', () => {
    const signature = {
      task: 'classification',
      target: { name: 'y', labels: ['a', 'b'] },
    } as unknown as Signature;
    const check = (gates: Gates) => () => {
      checkGateNames(gates, signature, project);
    };
    expect(check({ accuracy: {}, 'recall.a': { min: 0.5 } })).not.toThrow();
    expect(check({ r2: {} })).toThrow('train.gates: there is no r2 of classes');
    expect(check({ 'recall.c': {} })).toThrow('recall.c: the data has no label "c"');
    expect(check({ 'accuracy of y': {} })).toThrow('train.gates: accuracy of y: the model has one target');
  });
});
