export { ociTarget } from '../../src/stages/deploy/index.js';
export { localTarget } from '../../src/stages/deploy/targets/local/index.js';
export { makeOciTarget } from '../../src/stages/deploy/targets/oci/index.js';
export { verifyRelease } from '../../src/stages/deploy/verify.js';
