import { attr, type Attributes, type Model, type Node } from '../../../ir/graph.js';
import { freshNames } from '../../../ir/rewrite.js';
import { int64s, tensor, type Tensor } from '../../../ir/tensor.js';
import { openModel } from '../../../runtime/open-model.js';
import { giveWay } from '../../../runtime/give-way.js';
import type { Feeds } from '../../../runtime/session.js';
import type { PassContext } from '../../../plugin/api.js';

/** A float32 value of a graph whose channels are looked at one by one. */
export interface Observed {
  readonly name: string;
  readonly channels: number;
  /** True for images [N, C, H, W]; else the channels come last. */
  readonly isImage?: boolean;
  /** What a convolution multiplies its kernels with is looked at instead of the image itself: `channels` are the places of a kernel. */
  readonly patches?: Patches;
}

export interface Patches {
  /** What the observations are called, for one value may be read by kernels of several shapes. */
  readonly key: string;
  /** Of a kernel: [channels, height, width]. */
  readonly kernel: readonly number[];
  /** Of the convolution: pads, strides, dilations. */
  readonly attributes: Attributes;
}

/** By value, or the key of its patches. */
export type Observations = Map<string, Float64Array>;

/** Who looks. `memory` holds for the values of the model that a pass was given, if they mean the same in the one looked at. */
export interface Observer {
  readonly signal?: AbortSignal | undefined;
  readonly memory?: PassContext['memory'] | undefined;
}

/** Numbers of Hessians that are held at a time: 512 MB. */
export const mostHeld = 2 ** 26;

/** Looks at what nobody has looked at before. */
async function recall(
  kind: string,
  values: readonly Observed[],
  batches: readonly Feeds[],
  { memory }: Observer,
  look: (values: readonly Observed[]) => Promise<Observations>,
): Promise<Observations> {
  const known = new Map<string, Float64Array>();
  const keyOf = (name: string): string => `${kind} on ${batches.length} batches: ${name}`;
  const unknown = values.filter(({ name, patches }) => {
    const found = memory?.get(keyOf(patches?.key ?? name)) as Float64Array | undefined;
    if (found) known.set(patches?.key ?? name, found);
    return !found;
  });
  const seen = await look(unknown);
  let held = [...(memory?.values() ?? [])].reduce<number>(
    (sum, each) => sum + (each instanceof Float64Array ? each.length : 0),
    0,
  );
  for (const [name, found] of seen) {
    known.set(name, found);
    held += found.length;
    if (held <= mostHeld) memory?.set(keyOf(name), found);
  }
  return known;
}

/**
 * XᵀX over all rows X [rows, channels] that a value takes, as [channels, channels]. The graph itself adds up each batch,
 * so that no activation leaves it.
 * @returns nothing where there are no rows.
 */
export function observeGrams(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  return recall('grams', values, batches, observer, async (unknown) => {
    const grams: Observations = new Map();
    const emit: Emit = (rows, add) =>
      add('MatMul', [add('Transpose', [rows], { perm: attr.ints([1, 0]) }), rows]);
    await gather(model, unknown, batches, observer, emit, (name, products) => {
      const sums = roomFor(grams, name, products.length);
      for (let at = 0; at < products.length; at++) sums[at]! += products[at]!;
    });
    return grams;
  });
}

/** As `observeGrams`, of rows with a 1 behind each: [channels + 1, channels + 1], with the sums and the number of rows. */
export function observeMoments(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  const emit: Emit = (rows, add, _, { channels }) => {
    const constant = (dims: number[], value: number) =>
      add('Constant', [], {
        value: attr.tensor(tensor('float32', dims, new Float32Array(dims[0]!).fill(value))),
      });
    const ones = add('Add', [add('MatMul', [rows, constant([channels, 1], 0)]), constant([1], 1)]);
    const wide = add('Concat', [rows, ones], { axis: attr.int(1) });
    return add('MatMul', [add('Transpose', [wide], { perm: attr.ints([1, 0]) }), wide]);
  };
  return recall('moments', values, batches, observer, async (unknown) => {
    const moments: Observations = new Map();
    await gather(model, unknown, batches, observer, emit, (name, products) => {
      const sums = roomFor(moments, name, products.length);
      for (let at = 0; at < products.length; at++) sums[at]! += products[at]!;
    });
    return moments;
  });
}

/** The mean of each channel. */
export function observeMeans(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  const counts = batches.map((feeds) => Object.values(feeds)[0]?.dims[0] ?? 1);
  const all = counts.reduce((sum, count) => sum + count, 0);
  return recall('means', values, batches, observer, async (unknown) => {
    const means: Observations = new Map();
    await gather(model, unknown, batches, observer, reduceRows('ReduceMean'), (name, found, batch) => {
      const mean = roomFor(means, name, found.length);
      for (let at = 0; at < found.length; at++) mean[at]! += (found[at]! * counts[batch]!) / all;
    });
    return means;
  });
}

/** The largest magnitude in each channel. */
export async function observeMagnitudes(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  const largest: Observations = new Map();
  const reduce = reduceRows('ReduceMax');
  const emit: Emit = (rows, add, ...rest) => reduce(add('Abs', [rows]), add, ...rest);
  await gather(model, values, batches, observer, emit, (name, found) => {
    const most = roomFor(largest, name, found.length);
    for (let at = 0; at < found.length; at++) most[at] = Math.max(most[at]!, found[at]!);
  });
  return largest;
}

/** Adds a node, and gives the name of what it writes. */
type Add = (op: string, inputs: string[], attributes?: Attributes) => string;

/** @param rows Name of a value [rows, channels]. */
type Emit = (rows: string, add: Add, first: FirstAxis, value: Observed) => string;

interface FirstAxis {
  readonly opset: number;
  /** Name of the constant [0]. */
  readonly axes: string;
}

/** The operator set in which these operators take their axes as an input. */
const axesAsInput = 18;

function reduceRows(op: 'ReduceMean' | 'ReduceMax'): Emit {
  return (rows, add, { opset, axes }) => {
    const keepdims = attr.int(0);
    return opset < axesAsInput
      ? add(op, [rows], { axes: attr.ints([0]), keepdims })
      : add(op, [rows, axes], { keepdims });
  };
}

function roomFor(observations: Observations, name: string, length: number): Float64Array {
  const room = observations.get(name) ?? new Float64Array(length);
  observations.set(name, room);
  return room;
}

/** Runs the rows through the model, which itself makes of each value what `emit` says. */
async function gather(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  { signal }: Observer,
  emit: Emit,
  see: (name: string, found: Float32Array, batch: number) => void,
): Promise<void> {
  if (values.length === 0 || batches.length === 0) return;
  const { graph } = model;
  const fresh = freshNames(graph);
  const nodes: Node[] = [...graph.nodes];
  const first = { opset: model.opsets[''] ?? 0, axes: fresh('observed_axes') };
  const initializers = new Map<string, Tensor>(graph.initializers).set(first.axes, int64s([0]));
  const add: Add = (op, inputs, attributes = {}) => {
    const name = fresh('observed');
    nodes.push({ op, domain: '', name, inputs, outputs: [name], attributes });
    return name;
  };
  /** Kernels that each take one number out of where they lie. */
  const eyeOf = (places: number, kernel: readonly number[]): string => {
    const name = fresh('observed_places');
    const eye = new Float32Array(places * places);
    for (let place = 0; place < places; place++) eye[place * (places + 1)] = 1;
    initializers.set(name, tensor('float32', [places, ...kernel], eye));
    return name;
  };
  const fetched = values.map((value) => {
    const { name, channels, isImage, patches } = value;
    const shape = fresh('observed_shape');
    initializers.set(shape, int64s([-1, channels]));
    const image = patches ? add('Conv', [name, eyeOf(channels, patches.kernel)], patches.attributes) : name;
    const last = isImage ? add('Transpose', [image], { perm: attr.ints([0, 2, 3, 1]) }) : image;
    return emit(add('Reshape', [last, shape]), add, first, value);
  });
  const outputs = fetched.map((name) => ({ name, dtype: 'float32' as const }));
  const observing = { ...graph, nodes, initializers, outputs: [...graph.outputs, ...outputs] };
  const session = await openModel({ ...model, graph: observing });
  try {
    for (const [batch, feeds] of batches.entries()) {
      await giveWay(signal);
      const found = await session.run(feeds, fetched);
      for (const [at, { name, patches }] of values.entries()) {
        see(patches?.key ?? name, found[fetched[at]!]!.data as Float32Array, batch);
      }
    }
  } finally {
    await session.close();
  }
}
