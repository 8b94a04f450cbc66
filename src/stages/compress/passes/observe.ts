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

/** Rows that batches have, one by one and all together. */
const countEach = (batches: readonly Feeds[]): number[] =>
  batches.map((feeds) => Object.values(feeds)[0]?.dims[0] ?? 1);
export const countRows = (batches: readonly Feeds[]): number =>
  countEach(batches).reduce((sum, count) => sum + count, 0);

/** Looks at what nobody has looked at before. */
export async function recall(
  kind: string,
  values: readonly Observed[],
  batches: readonly Feeds[],
  { memory }: Observer,
  look: (values: readonly Observed[]) => Promise<Observations>,
): Promise<Observations> {
  const known = new Map<string, Float64Array>();
  const place = (name: string): string => `${kind} on ${countRows(batches)} rows: ${name}`;
  const unknown = values.filter((value) => {
    const found = memory?.get(place(keyOf(value))) as Float64Array | undefined;
    if (found) known.set(keyOf(value), found);
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
    if (held <= mostHeld) memory?.set(place(name), found);
  }
  return known;
}

/** What the graph makes of a value, and who is told of it, batch after batch. */
interface Look {
  readonly value: Observed;
  readonly emit: Emit;
  readonly see: (found: Float32Array, batch: number) => void;
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
  const emit: Emit = (rowsOf, add) => {
    const rows = rowsOf();
    return add('MatMul', [add('Transpose', [rows], { perm: attr.ints([1, 0]) }), rows]);
  };
  return recall('grams', values, batches, observer, (unknown) =>
    addUp(model, unknown, batches, observer, emit),
  );
}

/** As `observeGrams`, of rows with a 1 behind each: [channels + 1, channels + 1], with the sums and the number of rows. */
export function observeMoments(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  const emit: Emit = (rowsOf, add, _, { channels }) => {
    const rows = rowsOf();
    const constant = (dims: number[], value: number) =>
      add('Constant', [], {
        value: attr.tensor(tensor('float32', dims, new Float32Array(dims[0]!).fill(value))),
      });
    const ones = add('Add', [add('MatMul', [rows, constant([channels, 1], 0)]), constant([1], 1)]);
    const wide = add('Concat', [rows, ones], { axis: attr.int(1) });
    return add('MatMul', [add('Transpose', [wide], { perm: attr.ints([1, 0]) }), wide]);
  };
  return recall('moments', values, batches, observer, (unknown) =>
    addUp(model, unknown, batches, observer, emit),
  );
}

async function addUp(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer,
  emit: Emit,
): Promise<Observations> {
  const all: Observations = new Map();
  const looks = values.map((value): Look => {
    const key = keyOf(value);
    const see = (products: Float32Array): void => {
      const sums = roomFor(all, key, products.length);
      for (let at = 0; at < products.length; at++) sums[at]! += products[at]!;
    };
    return { value, emit, see };
  });
  await gather(model, looks, batches, observer);
  return all;
}

/** The mean of each channel. */
export function observeMeans(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  return recall('means', values, batches, observer, async (unknown) => {
    return (await observeSpreads(model, [], unknown, batches, observer)).means;
  });
}

function meanLooks(
  values: readonly Observed[],
  batches: readonly Feeds[],
  means: Observations,
): readonly Look[] {
  const counts = countEach(batches);
  const all = countRows(batches);
  const emit = reduceRows('ReduceMean');
  return values.map((value) => {
    const see = (found: Float32Array, batch: number): void => {
      const mean = roomFor(means, keyOf(value), found.length);
      for (let at = 0; at < found.length; at++) mean[at]! += (found[at]! * counts[batch]!) / all;
    };
    return { value, emit, see };
  });
}

/** Least and greatest of all numbers that a value takes, NaN where one of them is no number or infinite. */
export interface Spread {
  readonly low: number;
  readonly high: number;
}

/**
 * The spread of values, and the means of the channels of values, in one go over the rows.
 * @param names Float32 values.
 */
export async function observeSpreads(
  model: Model,
  names: readonly string[],
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<{ spreads: Map<string, Spread>; means: Observations }> {
  const spreads = new Map<string, Spread>();
  const means: Observations = new Map();
  const emit: Emit = (_, add, first, { name }) => {
    const flat = add('Reshape', [name, first.flat]);
    const reduced = (['ReduceMin', 'ReduceMax', 'ReduceMean'] as const).map((op) =>
      reduceFirst(op, flat, add, first, 1),
    );
    return add('Concat', reduced, { axis: attr.int(0) });
  };
  const looks = names.map((name): Look => {
    const see = ([least, most, mean]: Float32Array): void => {
      const { low, high } = spreads.get(name) ?? { low: Infinity, high: -Infinity };
      // What is no number shows in the mean, whatever least and greatest make of it; NaN stays NaN.
      const known = Number.isFinite(mean);
      spreads.set(name, {
        low: known ? Math.min(low, least!) : NaN,
        high: known ? Math.max(high, most!) : NaN,
      });
    };
    return { value: { name, channels: 1 }, emit, see };
  });
  await gather(model, [...looks, ...meanLooks(values, batches, means)], batches, observer);
  return { spreads, means };
}

/** The largest magnitude in each channel. */
export async function observeMagnitudes(
  model: Model,
  values: readonly Observed[],
  batches: readonly Feeds[],
  observer: Observer = {},
): Promise<Observations> {
  const largest: Observations = new Map();
  const emit: Emit = (rowsOf, add, first) => reduceFirst('ReduceMax', add('Abs', [rowsOf()]), add, first);
  const looks = values.map((value): Look => {
    const see = (found: Float32Array): void => {
      const most = roomFor(largest, keyOf(value), found.length);
      for (let at = 0; at < found.length; at++) most[at] = Math.max(most[at]!, found[at]!);
    };
    return { value, emit, see };
  });
  await gather(model, looks, batches, observer);
  return largest;
}

const keyOf = ({ name, patches }: Observed): string => patches?.key ?? name;

/** Adds a node, and gives the name of what it writes. */
type Add = (op: string, inputs: string[], attributes?: Attributes) => string;

/** @param rowsOf Writes the value down as rows [rows, channels], and gives its name. */
type Emit = (rowsOf: () => string, add: Add, first: FirstAxis, value: Observed) => string;

interface FirstAxis {
  readonly opset: number;
  /** Name of the constant [0]. */
  readonly axes: string;
  /** Name of the constant [-1]. */
  readonly flat: string;
}

type Reduction = 'ReduceMean' | 'ReduceMax' | 'ReduceMin';

/** The operator set in which these operators take their axes as an input. */
const axesAsInput = 18;

function reduceRows(op: Reduction): Emit {
  return (rowsOf, add, first) => reduceFirst(op, rowsOf(), add, first);
}

function reduceFirst(op: Reduction, name: string, add: Add, { opset, axes }: FirstAxis, keep = 0): string {
  const keepdims = attr.int(keep);
  return opset < axesAsInput
    ? add(op, [name], { axes: attr.ints([0]), keepdims })
    : add(op, [name, axes], { keepdims });
}

function roomFor(observations: Observations, name: string, length: number): Float64Array {
  const room = observations.get(name) ?? new Float64Array(length);
  observations.set(name, room);
  return room;
}

/** Runs the rows through the model, which itself makes of each value what `emit` says. */
async function gather(
  model: Model,
  looks: readonly Look[],
  batches: readonly Feeds[],
  { signal }: Observer,
): Promise<void> {
  if (looks.length === 0 || batches.length === 0) return;
  const { graph } = model;
  const fresh = freshNames(graph);
  const nodes: Node[] = [...graph.nodes];
  const first = { opset: model.opsets[''] ?? 0, axes: fresh('observed_axes'), flat: fresh('observed_flat') };
  const initializers = new Map<string, Tensor>(graph.initializers)
    .set(first.axes, int64s([0]))
    .set(first.flat, int64s([-1]));
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
  const rowsOf = ({ name, channels, isImage, patches }: Observed): string => {
    const shape = fresh('observed_shape');
    initializers.set(shape, int64s([-1, channels]));
    const image = patches ? add('Conv', [name, eyeOf(channels, patches.kernel)], patches.attributes) : name;
    const last = isImage ? add('Transpose', [image], { perm: attr.ints([0, 2, 3, 1]) }) : image;
    return add('Reshape', [last, shape]);
  };
  const fetched = looks.map(({ value, emit }) => emit(() => rowsOf(value), add, first, value));
  const outputs = fetched.map((name) => ({ name, dtype: 'float32' as const }));
  const observing = { ...graph, nodes, initializers, outputs: [...graph.outputs, ...outputs] };
  const session = await openModel({ ...model, graph: observing });
  try {
    for (const [batch, feeds] of batches.entries()) {
      await giveWay(signal);
      const found = await session.run(feeds, fetched);
      for (const [at, { see }] of looks.entries()) see(found[fetched[at]!]!.data as Float32Array, batch);
    }
  } finally {
    await session.close();
  }
}
