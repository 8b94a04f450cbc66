import { quantizePass } from '../../src/stages/compress/index.js';
import { describePass } from './pass-suite.js';

describePass(quantizePass, { mode: 'weights', algorithm: 'hqq', block: 16, minElements: 1 }, 14);
describePass(quantizePass, { mode: 'weights', algorithm: 'gptq' }, 14);
describePass(quantizePass, { mode: 'weights', algorithm: 'gptq', bits: 8, accuracyLevel: 1 }, 30);
describePass(quantizePass, { calibration: { method: 'entropy' }, biasCorrection: false }, 25);
