import type { Named } from '../../../config/named.js';
import type { Model, Node } from '../../../ir/graph.js';
import { freshNames, liftConstants } from '../../../ir/rewrite.js';
import { byteLengthOf } from '../../../ir/tensor.js';
import type { Pass } from '../../../plugin/api.js';
import { timeNodes } from '../../../runtime/time-nodes.js';
import { measureSensitivity } from '../auto/sensitivity.js';
import { Workshop } from '../auto/workshop.js';
import type { CompressOptions } from '../config.js';
import { labelOf } from '../passes/dense-layer.js';
import { candidateRecipes, kindOf, readRecipe } from '../recipes.js';
import type { PassRecord } from '../report.js';
import type { Subject } from '../subject.js';

/** One node of the model, and what compression would do with it. */
export interface ExplainedLayer {
  readonly node: string;
  readonly op: string;
  /** Sizes of its largest constant. */
  readonly weights: readonly number[];
  /** Of its constants; of those that several nodes read, with the first. */
  readonly bytes: number;
  readonly microseconds: number;
  /** Of the outputs of the model when this layer alone is changed, in dB; undefined where no pass changes it. */
  readonly signalToNoise?: number;
  /** What passes do with it, or why they leave it alone. */
  readonly decision: string;
}

export interface Explanation {
  readonly recipe: readonly string[];
  /** Rows of the run that was timed. */
  readonly rows: number;
  readonly bytes: number;
  readonly microseconds: number;
  readonly layers: readonly ExplainedLayer[];
}

const runs = 20;
/** Seconds for all layers; those that there is no time for have no figure. */
const patience = 60;

export interface ExplainOrder {
  readonly subject: Subject;
  readonly options: Pick<CompressOptions, 'passes' | 'auto'>;
  readonly passes: ReadonlyMap<string, Pass>;
}

/** Looks at a model layer by layer, and tries the passes of the config on it; nothing is written. */
export async function explainLayers({ subject, options, passes }: ExplainOrder): Promise<Explanation> {
  const model = named({ ...subject.model, graph: liftConstants(subject.model.graph) });
  const { feeds, batch } = subject.requests()[0]!;
  const times = await timeNodes(model, feeds, runs);
  const steps = options.auto ? await recipeOf(subject, options.auto.goal, passes) : options.passes;
  const workshop = new Workshop(passes, subject.context);
  const { records } = await workshop.build(model, steps);
  const noises = await rate(model, steps, records, { subject, workshop });
  const claimed = new Set<string>();
  const layers = model.graph.nodes.map((node): ExplainedLayer => {
    const constants = node.inputs.flatMap((name) => {
      const constant = model.graph.initializers.get(name);
      return constant ? [{ name, constant, bytes: claimed.has(name) ? 0 : byteLengthOf(constant) }] : [];
    });
    for (const { name } of constants) claimed.add(name);
    const largest = constants.reduce<(typeof constants)[number] | undefined>(
      (most, one) => (most && byteLengthOf(most.constant) >= byteLengthOf(one.constant) ? most : one),
      undefined,
    );
    const label = labelOf(node);
    const noise = noises.get(label);
    return {
      node: label,
      op: node.domain === '' ? node.op : `${node.domain}:${node.op}`,
      weights: largest?.constant.dims ?? [],
      bytes: constants.reduce((sum, { bytes }) => sum + bytes, 0),
      microseconds: times.get(node.name) ?? 0,
      ...(noise !== undefined && { signalToNoise: noise }),
      decision: decisionOf(label, records),
    };
  });
  const sum = (figure: 'bytes' | 'microseconds'): number => layers.reduce((all, one) => all + one[figure], 0);
  const recipe = steps.map(({ name }) => name);
  return { recipe, rows: batch, bytes: sum('bytes'), microseconds: sum('microseconds'), layers };
}

/** Every node with a name of its own, by which its time and what passes say of it are found again. */
function named(model: Model): Model {
  const fresh = freshNames({ ...model.graph, nodes: [] });
  const nodes = model.graph.nodes.map((node): Node => ({ ...node, name: fresh(labelOf(node)) }));
  return { ...model, graph: { ...model.graph, nodes } };
}

/** What auto would try first. */
async function recipeOf(
  { model, context }: Subject,
  goal: 'latency' | 'size',
  passes: ReadonlyMap<string, Pass>,
): Promise<Named[]> {
  const hasData = (await context.calibration(1)).length > 0;
  const recipes = candidateRecipes(kindOf(model), { hasData, canTrain: false }, goal);
  const first = recipes.find(({ steps }) => steps.some(([name]) => name === 'quantize')) ?? recipes.at(-1)!;
  return readRecipe(first.steps, passes);
}

/** What each layer costs that the first pass changes which can leave layers out. */
async function rate(
  model: Model,
  steps: readonly Named[],
  records: readonly PassRecord[],
  { subject, workshop }: { readonly subject: Subject; readonly workshop: Workshop },
): Promise<Map<string, number>> {
  const at = steps.findIndex(({ options }, index) => {
    const { applied = [] } = records[index]!;
    return applied.length > 0 && 'exclude' in (options as object) && !('fineTune' in (options as object));
  });
  if (at < 0) return new Map();
  const before = await workshop.build(model, steps.slice(0, at));
  const layers = records[at]!.applied!.map(({ node }) => node);
  const until = performance.now() + patience * 1000;
  const reach = { workshop, isOver: () => performance.now() > until };
  const found = await measureSensitivity(before.model, steps[at]!, layers, subject.probe(), reach);
  return new Map(found.map(({ node, signalToNoise }) => [node, signalToNoise]));
}

function decisionOf(label: string, records: readonly PassRecord[]): string {
  const parts = records.flatMap(({ name, applied = [], skipped }) => [
    ...applied.filter(({ node }) => node === label).map(({ note }) => `${name}: ${note}`),
    ...skipped.filter(({ node }) => node === label).map(({ reason }) => `${name} leaves it: ${reason}`),
  ]);
  return parts.join('; ');
}
