export { openStore } from '../../src/artifacts/index.js';
export { openPipeline } from '../../src/pipeline.js';
