import { createDistillPass, qatPass, quantizePass } from '../../src/stages/compress/index.js';
import { students } from '../../src/stages/students.js';
import { passModels } from './pass-models.js';
import { describePass } from './pass-suite.js';

describePass(quantizePass, { mode: 'weights', algorithm: 'hqq', block: 16, minElements: 1 }, 14);
describePass(quantizePass, { mode: 'weights', algorithm: 'gptq' }, 14);
describePass(quantizePass, { mode: 'weights', algorithm: 'gptq', bits: 8, accuracyLevel: 1 }, 30);
describePass(quantizePass, { calibration: { method: 'entropy' }, biasCorrection: false }, 25);
describePass(qatPass, { minElements: 1 }, 20, { keepsRowsApart: true, trains: true });
describePass(
  createDistillPass(students),
  { student: { width: 0.75 } },
  3,
  { keepsRowsApart: true, repeats: true, trains: true },
  () => passModels().slice(0, 2),
);
