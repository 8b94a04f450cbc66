import { localTarget } from '../../src/stages/deploy/index.js';
import { describeTarget } from './target-suite.js';

describeTarget(localTarget, () => ({}));
