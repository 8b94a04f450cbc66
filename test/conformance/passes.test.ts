import { foldPass, quantizePass } from '../../src/stages/compress/index.js';
import { describePass } from './pass-suite.js';

describePass(foldPass, {}, 100);
describePass(quantizePass, {}, 30);
describePass(quantizePass, { minElements: 1, perChannel: false, reduceRange: true }, 20);
