export { digestOf, openStore } from '../../src/artifacts/index.js';
export { asDiskError } from '../../src/errors.js';
