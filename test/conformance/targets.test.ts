import { localTarget } from '../../src/stages/deploy/index.js';
import { makeOciTarget } from '../../src/stages/deploy/targets/oci/index.js';
import { tinyParts } from '../stages/deploy/targets/oci/tiny-parts.js';
import { describeTarget } from './target-suite.js';

describeTarget(localTarget, () => ({}));
describeTarget(makeOciTarget(tinyParts), () => ({}));
