import type { Column } from '../../../../data/dataset.js';
import { MaasError } from '../../../../errors.js';
import type { GraphBuilder } from '../../../../ir/builder.js';
import { describe } from '../../../../ir/gradient/rule.js';
import { attr, readsOf, type Graph, type Node } from '../../../../ir/graph.js';
import { losses } from '../../../../ir/losses.js';
import type { LossInputs } from '../../../../ir/losses/loss.js';
import { freshNames, removeDead, renameReads } from '../../../../ir/rewrite.js';
import { int64s, toNdArray, type NdArray, type NumericDType } from '../../../../ir/tensor.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { partedDims } from './update.js';

/** Gradients add up with ScatterElements, which has done so since operator set 16. */
const leastOpset = 16;

/**
 * The part of the job's model that leads to the prediction, with the inputs that it reads.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED for an old operator set, MAAS_MODEL_SHAPE when the data lacks an input.
 */
export function forwardOf({ model, prediction, others = {}, objective, steps, dataset }: TrainJob): Graph {
  const opset = model.opsets[''] ?? 0;
  if (opset < leastOpset) {
    throw new MaasError('MAAS_MODEL_UNSUPPORTED', `cannot train a model of operator set ${opset}`, {
      hint: `Export it with operator set ${leastOpset} or later.`,
    });
  }
  const looked = [
    prediction,
    ...Object.values(others).map((other) => other.prediction),
    ...(steps ? [steps.logits, steps.ids] : []),
    ...(objective ? [objective.value] : []),
  ];
  const outputs = looked.map((name) => ({ name }));
  const graph = removeDead({ ...model.graph, outputs });
  const read = new Set(graph.nodes.flatMap(readsOf));
  // Models of IR version 3 list constants among the inputs too.
  const inputs = graph.inputs.filter(({ name }) => read.has(name) && !graph.initializers.has(name));
  const missing = inputs.find(({ name }) => !(name in dataset.splits.train.inputs));
  if (missing)
    throw new MaasError('MAAS_MODEL_SHAPE', `the data has no column for the model's input ${missing.name}`);
  return { ...graph, inputs };
}

/**
 * The same graph without outputs, and with the weights as inputs after its own, in the shapes that they are kept in.
 * @param parts Whether heavy ones are kept in parts.
 */
export function openWeights(graph: Graph, parameters: readonly string[], parts = true): Graph {
  const fresh = freshNames(graph);
  const initializers = new Map(graph.initializers);
  const whole = new Map<string, string>();
  const nodes: Node[] = [];
  const weights = parameters.map((name) => {
    const { dtype, dims } = weightOf(graph, name);
    const shape = parts ? partedDims(dims) : dims;
    initializers.delete(name);
    if (shape !== dims) {
      const [output, sizes] = [fresh(`${name}.whole`), fresh(`${name}.dims`)];
      initializers.set(sizes, int64s(dims));
      nodes.push({
        op: 'Reshape',
        domain: '',
        name: output,
        inputs: [name, sizes],
        outputs: [output],
        attributes: {},
      });
      whole.set(name, output);
    }
    return { name, dtype, shape };
  });
  const inputs = [...graph.inputs, ...weights];
  const renamed = renameReads({ ...graph, outputs: [], inputs, initializers }, whole);
  return { ...renamed, nodes: [...nodes, ...renamed.nodes] };
}

/** @throws MaasError MAAS_MODEL_UNSUPPORTED for weights in another type than float32. */
export function weightOf(graph: Graph, name: string): NdArray<'float32'> {
  const weight = graph.initializers.get(name)!;
  if (weight.dtype === 'float32') return toNdArray(weight) as NdArray<'float32'>;
  throw new MaasError('MAAS_MODEL_UNSUPPORTED', `cannot train ${name}: it is ${weight.dtype}, not float32`, {
    hint: 'Convert the weights to float32, or freeze them.',
  });
}

/** Inputs of a graph that hold targets: the name of the target, undefined for the first, by the name of the input. */
export type TargetInputs = Readonly<Record<string, string | undefined>>;

/** Emits the job's loss, of several targets the sum, with what the graph adds to it, and inputs for the targets. */
export function emitLoss(
  g: GraphBuilder,
  job: TrainJob,
): { readonly targets: TargetInputs; readonly loss: string } {
  const { objective, others = {}, losses: each = {} } = job;
  const weigh = (value: string, name: string): string => {
    const weight = each[name]?.weight ?? 1;
    return weight === 1 ? value : g.op('Mul', [value, g.scalar(weight, g.dtypeOf(value) as NumericDType)]);
  };
  const first = emitOwn(g, job, job.dataset.splits.train.target);
  const targets: Record<string, string | undefined> = {
    [first.target]: undefined,
  };
  let own = weigh(first.loss, job.dataset.signature.target.name);
  for (const [name, goal] of Object.entries(others)) {
    const { amounts } = goal;
    const part = {
      ...job,
      amounts,
      prediction: goal.prediction,
      loss: each[name]!.loss,
      steps: undefined,
    };
    const { target, loss } = emitOwn(g, part, job.dataset.splits.train.others![name]!);
    targets[target] = name;
    own = g.op('Add', [own, weigh(loss, name)]);
  }
  if (!objective) return { targets, loss: own };
  const part = g.op('Mul', [own, g.scalar(objective.share, g.dtypeOf(own) as NumericDType)]);
  return { targets, loss: g.op('Add', [part, objective.value]) };
}

/** The loss of one target, and an input for it. */
function emitOwn(
  g: GraphBuilder,
  { loss, prediction, steps, amounts }: TrainJob,
  { dtype, dims }: Column,
): { readonly target: string; readonly loss: string } {
  const shape = g.typeOf(prediction)?.shape;
  if (!shape || shape.length === 0) throw noShape(g, prediction);
  const target = g.input(g.unique('target'), dtype, [shape[0]!, ...dims.slice(1)]);
  const inputs = steps
    ? emitSteps(g, steps, target)
    : amounts
      ? {
          prediction: standardize(g, prediction, amounts),
          target: standardize(g, target, amounts),
        }
      : { prediction, target };
  return {
    target,
    loss: choose(losses, loss.name, 'loss').emit(g, inputs, loss),
  };
}

function standardize(
  g: GraphBuilder,
  value: string,
  { mean, deviation }: NonNullable<TrainJob['amounts']>,
): string {
  return g.op('Div', [g.op('Sub', [value, g.scalar(mean)]), g.scalar(deviation)]);
}

/** Each step's probabilities [N, steps, classes], and its class [N, steps]: the id of the step after it, and the target. */
function emitSteps(
  g: GraphBuilder,
  { logits, ids, first }: NonNullable<TrainJob['steps']>,
  target: string,
): LossInputs {
  const [, count] = g.shapeOf(ids);
  const later = g.op('Slice', [ids, g.int64s([1]), g.int64s([Number(count)]), g.int64s([1])]);
  const classes = g.op('Sub', [later, g.scalar(first, 'int64')]);
  const last = g.op('Unsqueeze', [target, g.int64s([1])]);
  return {
    prediction: g.op('Softmax', [logits], { axis: attr.int(-1) }),
    target: g.op('Concat', [classes, last], { axis: attr.int(1) }),
  };
}

function noShape(g: GraphBuilder, prediction: string): MaasError {
  const culprit = g.nodes.find((node) => node.outputs.some((name) => name !== '' && !g.typeOf(name)?.shape));
  return new MaasError(
    'MAAS_MODEL_UNSUPPORTED',
    `the shape of the prediction ${prediction} is not known${culprit ? `: maas cannot tell what ${describe(culprit)} gives` : ''}`,
    {
      hint: 'State the shapes in the model (onnx.shape_inference), or build it from other operators.',
    },
  );
}

/** @throws MaasError MAAS_CONFIG_INVALID when the table has no such name. */
export function choose<Definition>(
  table: Readonly<Record<string, Definition>>,
  name: string,
  what: string,
): Definition {
  const found = Object.hasOwn(table, name) ? table[name] : undefined;
  if (found) return found;
  throw new MaasError('MAAS_CONFIG_INVALID', `the onnx engine has no ${what} "${name}"`, {
    hint: `Choose one of ${Object.keys(table).join(', ')}.`,
  });
}
