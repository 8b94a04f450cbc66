import type { RegisterHook } from '../plugin/hook.js';
import {
  cleanupPasses,
  compressStage,
  convertOpsetPass,
  createDistillPass,
  equalizeLayersPass,
  factorizePass,
  foldPass,
  prunePass,
  pruneUnitsPass,
  qatPass,
  quantizeEmbeddingsPass,
  quantizePass,
  smoothQuantPass,
  storeBytesPass,
  storeHalvesPass,
  toStaticShapesPass,
} from './compress/index.js';
import { deployStage, targets } from './deploy/index.js';
import {
  generateProtocol,
  openInferenceProtocol,
  predictProtocol,
  serveService,
  tfServingProtocol,
} from './serve/index.js';
import { students } from './students.js';
import { commandEngine, onnxEngine, tfjsNodeEngine, trainStage } from './train/index.js';

/** What maas itself brings, through the same door as any plugin. */
const register: RegisterHook = () =>
  Promise.resolve({
    apiVersion: 1,
    stages: [trainStage, compressStage, deployStage],
    engines: [onnxEngine, tfjsNodeEngine, commandEngine],
    passes: [
      quantizePass,
      qatPass,
      createDistillPass(students),
      quantizeEmbeddingsPass,
      storeBytesPass,
      storeHalvesPass,
      smoothQuantPass,
      equalizeLayersPass,
      convertOpsetPass,
      toStaticShapesPass,
      foldPass,
      factorizePass,
      prunePass,
      pruneUnitsPass,
      ...cleanupPasses,
    ],
    targets,
    protocols: [predictProtocol, generateProtocol, openInferenceProtocol, tfServingProtocol],
    services: [serveService],
  });

export default register;
