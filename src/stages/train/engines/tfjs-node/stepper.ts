import type { Model } from '../../../../ir/graph.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { sizeOf, type NdArray } from '../../../../ir/tensor.js';
import type { SessionThread } from '../../../../runtime/thread/session-thread.js';
import type { CompiledStep } from '../onnx/compile-step.js';
import type { State, Stepper } from '../onnx/stepper.js';
import { openProgram, toTensor, type Values } from '../../../../ir/tfjs/interpret.js';
import type { Tensor, Tf } from '../../../../ir/tfjs/tf.js';

export interface TfStepper extends Stepper {
  /** What is trained, by name, as it is now. */
  weights(): ReadonlyMap<string, Tensor>;
}

/**
 * Carries out compiled steps with TensorFlow: the way to the loss operator by operator, the slopes by its own automatic
 * differentiation, and clipping and the optimizer's update operator by operator again.
 */
export function openTfStepper(
  tf: Tf,
  thread: SessionThread,
  compiled: CompiledStep,
  state: State | undefined,
): TfStepper {
  const { carried, loss, parameters } = compiled;
  const slopes = [...compiled.slopes];
  const moved = carried.filter(({ input }) => parameters.includes(input) && !compiled.slopes.has(input));
  const forward = openProgram(tf, cut(compiled.model, [loss, ...moved.map(({ output }) => output)], []));
  const updated = carried.filter((one) => !moved.includes(one));
  const update = openProgram(
    tf,
    cut(
      compiled.model,
      updated.map(({ output }) => output),
      slopes.map(([, slope]) => slope),
    ),
  );
  const kept = new Map<string, Tensor>();
  for (const { input, dims, initial } of carried)
    kept.set(input, toTensor(tf, state?.[input] ?? initial(), dims));

  const put = (name: string, tensor: Tensor) => {
    kept.get(name)?.dispose();
    kept.set(name, tf.keep(tensor));
  };
  /** The loss of a batch, before the step that it makes. */
  const step = (inputs: Values): number => {
    const ahead = new Map<string, Tensor>();
    const weights = slopes.map(([name]) => kept.get(name)!);
    const { value, grads } = tf.valueAndGrads((...parameters) => {
      const values = new Map([...kept, ...inputs]);
      slopes.forEach(([name], at) => values.set(name, parameters[at]!));
      const found = forward.run(values);
      for (const { input, output } of moved) ahead.set(input, tf.keep(found.get(output)!));
      return found.get(loss)!;
    })(weights);
    const values = new Map([...kept, ...inputs]);
    slopes.forEach(([, slope], at) => values.set(slope, grads[at]!));
    const found = update.run(values);
    // Only when all are there: what is replaced is freed, and others may have been read from it.
    for (const { input, output } of updated) put(input, tf.clone(found.get(output)!));
    for (const [name, tensor] of ahead) {
      put(name, tf.clone(tensor));
      tensor.dispose();
    }
    return value.dataSync()[0]!;
  };
  const read = (names: readonly string[] = [...kept.keys()]): State =>
    Object.fromEntries(
      names.map((name): [string, NdArray] => {
        const tensor = kept.get(name)!;
        return [name, { dtype: 'float32', dims: [...tensor.shape], data: tensor.dataSync().slice() }];
      }),
    );
  return {
    weights: () => new Map(parameters.map((name) => [name, kept.get(name)!])),
    read: (names) => Promise.resolve(read(names)),
    share: () => thread.put(read([...new Set([...parameters, ...Object.values(compiled.counted)])]), true),
    run: (feeds, { count, first }, shareAt) => {
      const losses = new Float32Array(count);
      for (let at = 0; at < count; at++) {
        const scalars = compiled.scalarsAt(first + at, shareAt?.(first + at));
        losses[at] = tf.tidy(() => {
          const inputs = new Map<string, Tensor>();
          for (const [name, array] of Object.entries(feeds))
            inputs.set(name, toTensor(tf, partOf(array, at)));
          for (const [key, name] of Object.entries(compiled.scalars)) {
            inputs.set(name, tf.fill([], scalars[key]!));
          }
          return step(inputs);
        });
      }
      return Promise.resolve({ losses, returned: feeds });
    },
  };
}

/** One batch of several. @param array [steps, rows, …] */
function partOf({ dtype, dims: [, ...dims], data }: NdArray, at: number): NdArray {
  const size = sizeOf(dims);
  const part = Array.isArray(data)
    ? data.slice(at * size, (at + 1) * size)
    : data.subarray(at * size, (at + 1) * size);
  return { dtype, dims, data: part };
}

/** The part of a model that leads to some values, from others on. */
function cut(model: Model, outputs: readonly string[], from: readonly string[]): Model {
  const { graph } = model;
  const given = new Set(from);
  const nodes = graph.nodes.filter((node) => !node.outputs.some((name) => given.has(name)));
  const inputs = [...graph.inputs, ...from.map((name) => ({ name }))];
  return {
    ...model,
    graph: removeDead({ ...graph, nodes, inputs, outputs: outputs.map((name) => ({ name })) }),
  };
}
