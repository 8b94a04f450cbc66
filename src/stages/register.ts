import type { RegisterHook } from '../plugin/hook.js';
import type { Registration } from '../plugin/api.js';

type Part = () => Promise<Omit<Registration, 'apiVersion'>>;

/** What each section of the config brings along, loaded when it is read. In pipeline order. */
const parts: Readonly<Record<string, Part>> = {
  train: async () => {
    const { commandEngine, onnxEngine, tfjsNodeEngine, trainStage } = await import('./train/index.js');
    return { stages: [trainStage], engines: [onnxEngine, tfjsNodeEngine, commandEngine] };
  },
  compress: async () => {
    const [compress, { students }] = await Promise.all([
      import('./compress/index.js'),
      import('./students.js'),
    ]);
    return {
      stages: [compress.compressStage],
      passes: [
        compress.quantizePass,
        compress.qatPass,
        compress.createDistillPass(students),
        compress.quantizeEmbeddingsPass,
        compress.storeBytesPass,
        compress.storeHalvesPass,
        compress.smoothQuantPass,
        compress.equalizeLayersPass,
        compress.convertOpsetPass,
        compress.toStaticShapesPass,
        compress.foldPass,
        compress.factorizePass,
        compress.prunePass,
        compress.pruneUnitsPass,
        ...compress.cleanupPasses,
      ],
    };
  },
  deploy: async () => {
    const { deployStage, targets } = await import('./deploy/index.js');
    return { stages: [deployStage], targets };
  },
  serve: async () => {
    const serve = await import('./serve/index.js');
    return {
      services: [serve.serveService],
      protocols: [
        serve.predictProtocol,
        serve.generateProtocol,
        serve.openInferenceProtocol,
        serve.tfServingProtocol,
      ],
    };
  },
};

/** What maas itself brings, through the same door as any plugin. */
const register: RegisterHook = async ({ sections = Object.keys(parts) }) => {
  const read = Object.keys(parts).filter((name) => sections.includes(name));
  const loaded = await Promise.all(read.map((name) => parts[name]!()));
  return {
    apiVersion: 1,
    stages: loaded.flatMap(({ stages = [] }) => stages),
    engines: loaded.flatMap(({ engines = [] }) => engines),
    passes: loaded.flatMap(({ passes = [] }) => passes),
    targets: loaded.flatMap(({ targets = [] }) => targets),
    protocols: loaded.flatMap(({ protocols = [] }) => protocols),
    services: loaded.flatMap(({ services = [] }) => services),
    unread: Object.keys(parts).filter((name) => !sections.includes(name)),
  };
};

export default register;
