import { headsOf, measureAmounts, type Dataset } from '../../../data/index.js';
import { MaasError } from '../../../errors.js';
import { GraphBuilder } from '../../../ir/builder.js';
import type { Graph, Model, Value } from '../../../ir/graph.js';
import { removeDead } from '../../../ir/rewrite.js';
import { tensor } from '../../../ir/tensor.js';
import { didYouMean } from '../../../suggest.js';
import type { Draft, DraftOptions } from '../build-model.js';
import { emitOutputs } from '../emit-outputs.js';
import { drawWeights } from '../layers/initializers.js';
import { randomStream } from '../random.js';
import { bindInputs } from './bind-inputs.js';
import { sourceOf, type FineTuneOptions } from './config.js';
import { findHeadInput, findLogits } from './find-head.js';
import { selectWeights, shortList } from './select-weights.js';
import { findWeights } from '../../../ir/weights.js';

/**
 * Takes a model as it is, puts it between the raw features and the outputs of the signature, and gives it a new last
 * layer where the data asks for one.
 * @throws MaasError MAAS_MODEL_SHAPE when the model does not fit the data, MAAS_CONFIG_INVALID for names that it does
 * not have.
 */
export function adoptModel(
  source: Model,
  options: FineTuneOptions,
  dataset: Dataset,
  { seed, place, inputs = {} }: DraftOptions,
): Draft {
  const { signature } = dataset;
  const from = sourceOf(options)!;
  const stranger = Object.keys(inputs).find(
    (name) => !source.graph.inputs.some((each) => each.name === name),
  );
  if (stranger !== undefined) {
    const names = source.graph.inputs.map(({ name }) => name);
    throw new MaasError('MAAS_CONFIG_INVALID', `the model has no input ${stranger}`, {
      place: place(['train', 'model', 'inputs', stranger]),
      hint: didYouMean(stranger, names) ?? `Its inputs are ${shortList(names)}.`,
    });
  }
  const wanted = signature.target.labels?.length ?? 1;
  const output = chooseOutput(source.graph, options, place);
  const isClasses = signature.task === 'classification';
  const logits = isClasses ? findLogits(source.graph, output) : output;
  const after = headOf(source.graph, logits, options, place);
  const body = removeDead({
    ...source.graph,
    outputs: [logits, ...(after ? [after] : [])].map((name) => ({ name })),
  });
  const bound = bindInputs(body, dataset, {
    groups: inputs,
    preprocess: options.preprocess ?? false,
    place: place(['train', 'model', from.key]),
  });
  const [boundLogits, boundAfter] = bound.outputs.map(({ name }) => name) as [string, string | undefined];

  const g = new GraphBuilder({ ...bound, outputs: [] });
  const shape = g.typeOf(boundLogits)?.shape;
  const width = shape?.length === 1 && !isClasses ? 1 : shape?.length === 2 ? shape[1] : undefined;
  const head = options.head ?? 'auto';
  const isNew = typeof head === 'object' || head === 'new' || (head === 'auto' && width !== wanted);
  const trained: string[] = [];
  let x = boundLogits;
  if (isNew) x = emitHead(boundAfter);
  else if (width !== wanted) {
    throw misfit(
      `the model gives [${shape?.join(', ') ?? 'an unknown shape'}], and the data needs ${wanted} for each row`,
      'Write head: auto, which gives it a new last layer.',
    );
  }
  if (shape?.length === 1 && !isNew) x = g.op('Reshape', [x, g.int64s([-1, 1])]);
  const amounts = isNew && !isClasses ? measureAmounts(dataset.splits.train.target) : undefined;
  const prediction = emitOutputs(g, x, headsOf(signature)[0], amounts);
  const graph = removeDead(g.build());
  const weights = findWeights(graph).filter((name) => !trained.includes(name));
  const chosen = selectWeights(weights, options, place);
  const trainable = [...chosen, ...trained];
  if (trainable.length === 0) {
    throw new MaasError('MAAS_CONFIG_INVALID', `all ${weights.length} weights of the model are frozen`, {
      place: place(['train', 'model', options.train ? 'train' : 'freeze']),
      hint: 'Leave some to train.',
    });
  }
  return {
    model: { ...source, irVersion: Math.max(source.irVersion, 8), opsets: withLabels(source.opsets), graph },
    trainable,
    prediction,
    ...(amounts && { amounts }),
    notes: describe(),
  };

  function misfit(message: string, hint: string): MaasError {
    const key = options.head === undefined ? from.key : 'head';
    return new MaasError('MAAS_MODEL_SHAPE', message, { place: place(['train', 'model', key]), hint });
  }

  /** A dense layer [features, wanted] on `value`. */
  function emitHead(value: string | undefined): string {
    const features = value === undefined ? undefined : g.typeOf(value)?.shape;
    const size = features?.length === 2 ? features[1] : undefined;
    if (value === undefined) {
      throw misfit(
        `the model does not end in a dense layer, so its head cannot be replaced`,
        'Write head: {after: VALUE} with the name of the value [N, features] that a new one goes on.',
      );
    }
    if (typeof size !== 'number') {
      throw misfit(
        `a new head needs a value [N, features], and ${value} is [${features?.join(', ') ?? 'unknown'}]`,
        'Name another value in head: {after: VALUE}.',
      );
    }
    const add = (part: string, dims: readonly number[], values: Float32Array): string => {
      const name = g.unique(`head/${part}`);
      trained.push(name);
      return g.initializer(name, tensor('float32', dims, values));
    };
    const fans = { in: size, out: wanted };
    const random = randomStream(seed, 'initial/head.kernel', 0);
    const kernel = add('kernel', [size, wanted], drawWeights('glorotUniform', [size, wanted], fans, random));
    return g.op(
      'Gemm',
      [value, kernel, add('bias', [wanted], new Float32Array(wanted))],
      {},
      { name: 'head' },
    );
  }

  function describe(): string[] {
    const frozen = weights.filter((name) => !chosen.includes(name));
    const all = `trains ${trainable.length} of ${trainable.length + frozen.length} weights of ${from.file}`;
    return [
      `${all}${frozen.length > 0 ? `; frozen: ${shortList(frozen)}` : ''}`,
      ...(isNew
        ? [`gave it a new head, with ${wanted} ${wanted === 1 ? 'output' : 'outputs'}, on ${boundAfter!}`]
        : []),
    ];
  }
}

function chooseOutput({ outputs }: Graph, options: FineTuneOptions, place: DraftOptions['place']): string {
  const numbers = outputs.filter(
    // Some files leave the types of their outputs open.
    ({ dtype, opaqueType }) => dtype === 'float32' || (dtype === undefined && opaqueType === undefined),
  );
  const names = numbers.map(({ name }) => name);
  const fail = (key: string, message: string, hint: string): MaasError =>
    new MaasError('MAAS_CONFIG_INVALID', message, { place: place(['train', 'model', key]), hint });
  const { output } = options;
  if (output !== undefined) {
    if (names.includes(output)) return output;
    throw fail(
      'output',
      `the model has no output ${output} of float32`,
      `Its outputs are ${names.join(', ')}.`,
    );
  }
  const [only, ...others] = names;
  if (only === undefined)
    throw fail(sourceOf(options)!.key, 'the model has no output of float32', 'Choose another model.');
  if (others.length === 0) return only;
  throw fail(
    sourceOf(options)!.key,
    `the model has ${names.length} outputs`,
    `Write output: one of ${names.join(', ')}.`,
  );
}

/** The value that a new head goes on, if there is one. */
function headOf(
  graph: Graph,
  logits: string,
  { head = 'auto' }: FineTuneOptions,
  place: DraftOptions['place'],
): string | undefined {
  if (typeof head !== 'object') return head === 'keep' ? undefined : findHeadInput(graph, logits);
  const has = (values: readonly Pick<Value, 'name'>[]): boolean =>
    values.some(({ name }) => name === head.after);
  const written = graph.nodes.flatMap(({ outputs }) => outputs.map((name) => ({ name })));
  if (has(written) || has(graph.inputs)) return head.after;
  const names = written.map(({ name }) => name).filter(Boolean);
  throw new MaasError('MAAS_CONFIG_INVALID', `the model has no value ${head.after}`, {
    place: place(['train', 'model', 'head', 'after']),
    hint: `Its last values are ${names.slice(-8).join(', ')}.`,
  });
}

/** Label names are looked up by an operator of ai.onnx.ml, which has numbers as keys since version 2. */
function withLabels(opsets: Model['opsets']): Model['opsets'] {
  return { ...opsets, 'ai.onnx.ml': Math.max(opsets['ai.onnx.ml'] ?? 4, 2) };
}
