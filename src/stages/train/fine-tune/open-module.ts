import { pathToFileURL } from 'node:url';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { MaasError } from '../../../errors.js';
import type { Model } from '../../../ir/graph.js';
import { importKeras } from '../../../ir/keras/load.js';
import type { WeightSpec } from '../../../ir/keras/shards.js';
import type { Project } from '../../../plugin/api.js';
import { openTensorFlow } from '../engines/tfjs-node/open-tensorflow.js';
import { randomStream } from '../random.js';

/** As much of a tf.LayersModel as maas uses: it hands its parts to whoever saves them. */
interface LayersModel {
  save(handler: { save(artifacts: Artifacts): Promise<object> }): Promise<unknown>;
  readonly inputs: unknown;
}

interface Artifacts {
  readonly modelTopology: unknown;
  readonly weightSpecs?: readonly WeightSpec[];
  readonly weightData?: ArrayBuffer | readonly ArrayBuffer[];
}

/**
 * Imports the tf.LayersModel that a module exports or makes. Math.random goes by the seed meanwhile, so that weights
 * that TensorFlow.js draws are the same each time.
 * @throws MaasError MAAS_MODEL_INVALID when the module fails or gives something else, MAAS_MODEL_UNSUPPORTED for layers
 * that maas cannot import.
 */
export async function openModule(path: string, project: Project): Promise<Model> {
  const { random } = Math;
  const stream = randomStream(project.seed, 'initial/module', 0);
  Math.random = () => uniformFloat64(stream);
  try {
    const model = await makeModel(path, project);
    const { modelTopology, weightSpecs = [], weightData = [] } = await artifactsOf(model);
    const parts: readonly ArrayBuffer[] = weightData instanceof ArrayBuffer ? [weightData] : weightData;
    return importKeras({
      modelTopology,
      weightSpecs,
      weightData: Buffer.concat(parts.map((part) => new Uint8Array(part))),
    });
  } catch (error) {
    if (!(error instanceof MaasError) || error.place) throw error;
    const { code, message, hint, details, cause } = error;
    throw new MaasError(code, message, { place: { file: path }, hint, cause, ...(details && { details }) });
  } finally {
    Math.random = random;
  }
}

async function makeModel(path: string, project: Project): Promise<LayersModel> {
  let made: unknown;
  try {
    const { default: given } = (await import(pathToFileURL(path).href)) as { default?: unknown };
    made = await (typeof given === 'function' ? (given as Maker)(toolsFor(project)) : given);
  } catch (error) {
    if (error instanceof MaasError) throw error;
    throw new MaasError('MAAS_MODEL_INVALID', `the module fails: ${(error as Error).message}`, {
      place: { file: path },
      hint: 'Run it with `node` to see where. It takes {tf}, or imports @tensorflow/tfjs itself.',
      cause: error,
    });
  }
  if (isLayersModel(made)) return made;
  const what = made === undefined ? 'nothing' : `a ${typeof made}`;
  throw new MaasError('MAAS_MODEL_INVALID', `the module gives ${what}, not a tf.LayersModel`, {
    place: { file: path },
    hint: 'Write: export default ({ tf }) => tf.sequential({ layers: [...] }).',
  });
}

type Maker = (tools: { readonly tf: unknown }) => unknown;

/** TensorFlow.js is loaded for modules that ask for it. */
const toolsFor = (project: Project) => ({
  get tf() {
    return openTensorFlow(project);
  },
});

const isLayersModel = (value: unknown): value is LayersModel =>
  typeof value === 'object' &&
  value !== null &&
  'inputs' in value &&
  typeof (value as LayersModel).save === 'function';

function artifactsOf(model: LayersModel): Promise<Artifacts> {
  return new Promise((resolve, reject) => {
    const save = (artifacts: Artifacts): Promise<object> => {
      resolve(artifacts);
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } });
    };
    model.save({ save }).catch(reject);
  });
}
