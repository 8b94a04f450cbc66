import { join } from 'node:path';
import { placeIn } from '../config/index.js';
import type { Named } from '../config/named.js';
import type { Dataset } from '../data/index.js';
import { addUnlabelled } from './add-unlabelled.js';
import { MaasError } from '../errors.js';
import type { Graph, Model } from '../ir/graph.js';
import { losses } from '../ir/losses.js';
import { freshNames, removeDead } from '../ir/rewrite.js';
import { inferTypes } from '../ir/shapes.js';
import { int64s } from '../ir/tensor.js';
import { findWeights } from '../ir/weights.js';
import type { FittingEngine, FitOrder, StageRun, TrainProgress, Trainer } from '../plugin/api.js';
import { resolveLoss } from './resolve-loss.js';

/** What needs nothing that npm does not bring, and takes any graph. */
const engineName = 'onnx';

/** What the `train` section says that holds for further training too. */
interface TrainSection {
  readonly batchSize: number;
  readonly threads: number;
  readonly loss?: Named;
}

/**
 * Trains models that passes make.
 * @param onProgress Told how far a fit is, from 0 for the first one of the run.
 */
export function openTrainer(
  run: Pick<StageRun, 'project' | 'registry' | 'work' | 'signal' | 'emit'>,
  dataset: Dataset,
  onProgress: (progress: TrainProgress) => void,
): Trainer {
  const { project, registry, work, signal, emit } = run;
  const { batchSize = 32, threads = 1, loss } = (project.config['train'] ?? {}) as Partial<TrainSection>;
  // Passes change the last layer, and are held to what it says: the embedding has been learned.
  const isOfEmbeddings = loss !== undefined && losses[loss.name]?.embeds === true;
  let fits = 0;
  return {
    dataset,
    batchSize,
    async fit({
      model,
      trainable,
      objective,
      unlabelled = false,
      epochs,
      learningRate,
      batchSize: given = batchSize,
      signal: own,
    }: FitOrder) {
      const engine = registry.engines.get(engineName) as FittingEngine | undefined;
      if (!engine)
        throw new MaasError('MAAS_ENGINE_MISSING', `there is no engine ${engineName} to train with`);
      if (dataset.signature.others) {
        throw new MaasError(
          'MAAS_CONFIG_INVALID',
          'a pass that trains does not know of several targets yet',
          {
            place: placeIn(project, ['compress']),
            hint: 'Choose passes that only rewrite the model, such as quantize, or name one column under data.target.',
          },
        );
      }
      const part = `fit-${++fits}`;
      const { graph, prediction } = findPrediction(model, dataset);
      const rows = unlabelled ? await addUnlabelled(dataset, project, signal) : dataset;
      const { model: fitted } = await engine.train({
        model: { ...model, graph },
        trainable: trainable ?? findWeights(graph),
        prediction,
        ...(objective && { objective }),
        dataset: rows,
        loss: resolveLoss(isOfEmbeddings ? undefined : loss, dataset, project),
        optimizer: { name: 'adam', learningRate },
        schedule: { name: 'cosine', floor: 0, warmup: 0 },
        metrics: [],
        epochs,
        batchSize: given,
        seed: project.seed,
        threads,
        options: {},
        work: join(work, part),
        signal: own ? AbortSignal.any([signal, own]) : signal,
        onProgress: (progress) => {
          emit({ event: 'train-progress', part, ...progress });
          onProgress(progress);
        },
      });
      const { outputs } = model.graph;
      return { ...fitted, graph: removeDead({ ...fitted.graph, outputs }) };
    },
  };
}

/**
 * The value that losses look at: probabilities [N, classes], or amounts [N, 1] where the model gives [N].
 * @throws MaasError MAAS_MODEL_SHAPE when the model has no such output.
 */
function findPrediction(model: Model, { signature }: Dataset): { graph: Graph; prediction: string } {
  const { graph } = model;
  const name = signature.task === 'classification' ? 'probabilities' : 'prediction';
  const type = inferTypes(model).get(name);
  if (!graph.outputs.some((output) => output.name === name) || !type?.shape)
    throw new MaasError('MAAS_MODEL_SHAPE', `the model has no output ${name} of a known shape`);
  if (signature.task === 'classification' || type.shape.length !== 1) return { graph, prediction: name };
  const fresh = freshNames(graph);
  const [prediction, sizes] = [fresh(`${name}_column`), fresh(`${name}_sizes`)];
  const node = { op: 'Reshape', domain: '', name: prediction, attributes: {} };
  return {
    prediction,
    graph: {
      ...graph,
      nodes: [...graph.nodes, { ...node, inputs: [name, sizes], outputs: [prediction] }],
      initializers: new Map(graph.initializers).set(sizes, int64s([-1, 1])),
    },
  };
}
