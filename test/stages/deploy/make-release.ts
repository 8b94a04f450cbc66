import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ListrTask, ListrTaskWrapper } from 'listr2';
import { type Artifact, type ArtifactStore, openStore } from '../../../src/artifacts/index.js';
import { dataSchema, type DataConfig, loadDataset } from '../../../src/data/index.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { attr } from '../../../src/ir/graph.js';
import { saveModel } from '../../../src/ir/onnx/save.js';
import { stringTensor, tensor } from '../../../src/ir/tensor.js';
import type { EffectRun, Project, Registry, StageResult, StageRun } from '../../../src/plugin/api.js';
import { deployOptions, type DeployOptions } from '../../../src/stages/deploy/config.js';
import { readGolden } from '../../../src/stages/deploy/golden.js';
import { deployStage, localTarget } from '../../../src/stages/deploy/index.js';

export const registry: Registry = {
  stages: [deployStage],
  engines: new Map(),
  passes: new Map(),
  targets: new Map([[localTarget.name, localTarget]]),
  protocols: new Map(),
  services: new Map(),
};

/** Two numbers and a text column; three classes, of which one is rare. */
const csv = ['width,height,colour,kind']
  .concat(
    Array.from({ length: 120 }, (_, row) => {
      const kind = row % 20 === 7 ? 'rare' : row % 2 === 0 ? 'even' : 'odd';
      return `${(row % 13) + 0.1},${(row * 7) % 11},${row % 3 === 0 ? 'red' : 'blue'},${kind}`;
    }),
  )
  .join('\n');

/** A project in `root`, with its data and config file written. `deploy` is the section before validation. */
export async function makeProject(root: string, deploy: unknown = {}): Promise<Project> {
  await mkdir(join(root, 'data'), { recursive: true });
  await writeFile(join(root, 'data', 'things.csv'), csv);
  const data: DataConfig = dataSchema.parse({ source: 'data/things.csv', target: 'kind' });
  await writeFile(
    join(root, 'maas.config.yaml'),
    'name: things\nseed: 3\ndata: {source: data/things.csv, target: kind}\n' +
      'train:\n  model: {layers: [{dense: {units: 3, activation: softmax}}]}\n  epochs: 1\n',
  );
  return {
    name: 'things',
    seed: 3,
    root,
    configFile: join(root, 'maas.config.yaml'),
    config: { data, deploy: deployOptions(registry).parse(deploy) },
  };
}

/** What a model does beside its work: it fails on a height of -99, or takes some milliseconds. */
export type Trait = 'fails' | 'slow';

/** Commits a small classifier as train would. Another `variant` has other weights. */
export async function makeModel(
  project: Project,
  store: ArtifactStore,
  variant = 0,
  trait?: Trait,
): Promise<Artifact> {
  const { root, seed, name } = project;
  const { signature } = await loadDataset(project.config['data'] as DataConfig, { root, seed, name });
  const staging = await store.stage('train');
  const graph = buildClassifier(signature.target.labels!, variant, trait);
  await saveModel(
    {
      irVersion: 10,
      opsets: { '': 17, 'ai.onnx.ml': 3 },
      producer: 'maas',
      graph,
      metadata: {},
    },
    join(staging.path, 'model.onnx'),
  );
  await writeFile(join(staging.path, 'signature.json'), JSON.stringify(signature));
  await writeFile(join(staging.path, 'history.json'), '[]');
  return staging.commit({
    stage: 'train',
    kind: 'model',
    name,
    seed,
    inputs: {},
    options: '',
    key: {},
    toolchain: {},
    metrics: { accuracy: 0.5 + variant / 100 },
  });
}

function buildClassifier(labels: readonly string[], variant: number, trait?: Trait) {
  const graph = new GraphBuilder();
  const features = graph.input('features', 'float32', ['N', 2]);
  const colour = graph.input('colour', 'string', ['N', 1]);
  const oneHot = graph.op(
    'OneHotEncoder',
    [colour],
    { cats_strings: attr.strings(['blue', 'red']), zeros: attr.int(1) },
    { domain: 'ai.onnx.ml' },
  );
  const flat = graph.op('Reshape', [oneHot, graph.int64s([-1, 2])]);
  const all = graph.op('Concat', [features, flat], { axis: attr.int(1) });
  const weights = Array.from({ length: 12 }, (_, index) => Math.sin(index * 3 + variant) / 2);
  const product = graph.op('MatMul', [all, graph.initializer('weights', tensor('float32', [4, 3], weights))]);
  const logits = trait === undefined ? product : graph.op('Add', [product, burden(graph, features, trait)]);
  const probabilities = graph.op('Softmax', [logits], { axis: attr.int(1) });
  const best = graph.op('ArgMax', [probabilities], { axis: attr.int(1), keepdims: attr.int(0) });
  const label = graph.op('Gather', [graph.constant(stringTensor([labels.length], labels)), best]);
  graph.output(label, 'label');
  graph.output(probabilities, 'probabilities');
  return graph.build();
}

/** Zeros, of which no runtime knows that they are. */
function burden(graph: GraphBuilder, features: string, trait: Trait): string {
  if (trait === 'fails') {
    const height = graph.op('Gather', [features, graph.int64s([1])], { axis: attr.int(1) });
    const isBad = graph.op('Equal', [height, graph.constant(tensor('float32', [1], [-99]))]);
    const table = graph.constant(tensor('float32', [1], [0]));
    return graph.op('Gather', [table, graph.op('Cast', [isBad], { to: attr.int(7) })]);
  }
  const one = graph.op('ReduceMean', [features], { keepdims: attr.int(0) });
  const many = graph.op('Erf', [graph.op('Expand', [one, graph.int64s([4_000_000])])]);
  const mean = graph.op('ReduceMean', [many], { keepdims: attr.int(1) });
  return graph.op('Mul', [mean, graph.constant(tensor('float32', [1], [0]))]);
}

export interface Built {
  readonly project: Project;
  readonly store: ArtifactStore;
  readonly model: Artifact;
  readonly artifact: Artifact;
  readonly result: StageResult;
}

/** Makes a project in `root` (unless one is given), a model, and its release through the stage's own tasks. */
export async function makeRelease(root: string, variant = 0, given?: Project): Promise<Built> {
  const project = given ?? (await makeProject(root));
  const store = openStore(join(project.root, '.maas'));
  const model = await makeModel(project, store, variant);
  return buildRelease(project, store, model);
}

export async function buildRelease(project: Project, store: ArtifactStore, model: Artifact): Promise<Built> {
  const staging = await store.stage('deploy');
  const result: StageResult = { metrics: {}, measured: {}, notes: [] };
  const run: StageRun<DeployOptions> = {
    ...stageContext(project, store, model),
    out: staging.path,
    work: join(project.root, 'work'),
    result,
  };
  await runTasks(deployStage.tasks(run));
  const artifact = await staging.commit({
    stage: 'deploy',
    kind: 'release',
    name: project.name,
    seed: project.seed,
    inputs: { model: model.digest },
    options: '',
    key: {},
    toolchain: {},
    metrics: result.metrics,
  });
  return { project, store, model, artifact, result };
}

/** Brings a built release to its target through the stage's effect; returns what the steps had to say. */
export async function runEffect({ project, store, model, artifact, result }: Built): Promise<string[]> {
  const run: EffectRun = { ...stageContext(project, store, model), artifact, result };
  return runTasks(deployStage.effect!.tasks(run));
}

export function stageContext(
  project: Project,
  store: ArtifactStore,
  model: Artifact,
  signal = new AbortController().signal,
) {
  return {
    project,
    options: project.config['deploy'] as DeployOptions,
    registry,
    store,
    inputs: { model },
    signal,
    emit: () => undefined,
  };
}

async function runTasks(tasks: readonly ListrTask[]): Promise<string[]> {
  const said: string[] = [];
  for (const { task } of tasks) {
    const wrapper = {
      title: '',
      set output(text: string) {
        said.push(text);
      },
    };
    await task({}, wrapper as unknown as ListrTaskWrapper<unknown, never, never>);
  }
  return said;
}

/** A release that is whole, and says of its model what the model does not answer. */
export async function spoilGolden(root: string, release: Artifact): Promise<Artifact> {
  const staging = await openStore(join(root, '.maas')).stage('deploy');
  const { files, ...manifest } = release.manifest;
  for (const file of Object.keys(files)) await cp(join(release.path, file), join(staging.path, file));
  const golden = JSON.parse(JSON.stringify(await readGolden(release.path))) as {
    outputs: { probabilities: { data: number[] } };
  };
  golden.outputs.probabilities.data[0]! += 0.5;
  await chmod(join(staging.path, 'golden.json'), 0o644);
  await writeFile(join(staging.path, 'golden.json'), JSON.stringify(golden));
  return staging.commit(manifest);
}
