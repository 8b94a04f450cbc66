import { MaasError } from '../errors.js';
import type { Graph } from '../ir/graph.js';
import { freshNames } from '../ir/rewrite.js';
import type { DType, NdArray, NumericDType } from '../ir/tensor.js';
import { loadRuntime, type Ort } from './load.js';

export type Feeds = Readonly<Record<string, NdArray>>;

export interface SessionOptions {
  /** Threads inside one operator. Default 1: a small model is slower with more, and results stay reproducible. */
  readonly threads?: number;
  /** How far onnxruntime may rewrite the graph. 'basic' for training graphs, 'all' for inference (default). */
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
  /** Beginning of the name of a file that onnxruntime writes down in what took how long, until `endProfile`. */
  readonly profile?: string;
  /**
   * Where onnxruntime writes what it has made of the model, and under which name beside it the weights, as they are and as this
   * processor's kernels have packed them.
   */
  readonly saveTo?: { readonly model: string; readonly weights: string };
}

/** An input or output as the model itself describes it. */
export interface Slot {
  readonly name: string;
  /** Undefined for what is no tensor: sequences, maps, optionals. */
  readonly dtype: DType | undefined;
  /** Sizes, or names of sizes that are free; '' where the model gives them no name. */
  readonly shape: readonly (number | string)[];
}

export interface Slots {
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

/** Names of the outputs that are tensors: nothing else can be fetched. */
export function tensorsOf({ outputs }: Slots): string[] {
  return outputs.filter(({ dtype }) => dtype !== undefined).map(({ name }) => name);
}

export interface Session {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly slots: Slots;
  /** Blocks the JavaScript thread while the model runs (onnxruntime-node 1.30); always await it. */
  run(feeds: Feeds, fetches?: readonly string[]): Promise<Record<string, NdArray>>;
  /**
   * Writes outputs into arrays of the caller's, in the shapes that they have there. An array's object stands for it: what
   * is fed or filled again should come as the same object.
   */
  runInto(feeds: Feeds, into: Feeds): Promise<void>;
  endProfile(): void;
  close(): Promise<void>;
}

/**
 * Opens a model for running. Pass a path when the model has external data.
 * @throws MaasError MAAS_MODEL_INVALID when onnxruntime refuses the model, MAAS_RUNTIME when it cannot be loaded.
 */
export async function openSession(
  model: Uint8Array | string,
  options: SessionOptions = {},
): Promise<Session> {
  const ort = await loadRuntime();
  const made = new WeakMap<NdArray, Ort.Tensor>();
  /** What comes again needs not be described again. */
  const known = (array: NdArray): Ort.Tensor => {
    const found = made.get(array) ?? toOrt(ort, array);
    made.set(array, found);
    return found;
  };
  const mapped = (arrays: Feeds): Record<string, Ort.Tensor> =>
    Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, known(array)]));
  const settings: Ort.InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: options.threads ?? 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: options.optimization ?? 'all',
    ...(options.profile !== undefined && { enableProfiling: true, profileFilePrefix: options.profile }),
    // Costs nothing in speed and keeps peak memory down.
    enableMemPattern: false,
    ...(options.saveTo && { optimizedModelFilePath: options.saveTo.model }),
    // Errors are thrown; at 3 the native log would print each to stderr as well.
    logSeverityLevel: 4,
    extra: {
      session: {
        // Waking a thread takes as long as a small operator. Threads that wait for the next one look for it that long, and
        // not, as by default, for as long as takes the processor from others.
        intra_op: { allow_spinning: '1', spin_duration_us: '50' },
        inter_op: { allow_spinning: '0' },
        ...(options.saveTo && {
          save_external_prepacked_constant_initializers: '1',
          optimized_model_external_initializers_file_name: options.saveTo.weights,
          // Smaller ones may be constants that kernels want to see while the graph is put together.
          optimized_model_external_initializers_min_size_in_bytes: '1024',
        }),
      },
    },
  };
  let session: Ort.InferenceSession;
  try {
    session = await (typeof model === 'string'
      ? ort.InferenceSession.create(model, settings)
      : ort.InferenceSession.create(model, settings));
  } catch (error) {
    throw new MaasError('MAAS_MODEL_INVALID', `onnxruntime refuses the model: ${(error as Error).message}`, {
      cause: error,
      ...(typeof model === 'string' && { place: { file: model } }),
    });
  }
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    slots: {
      inputs: session.inputMetadata.map(toSlot),
      outputs: session.outputMetadata.map(toSlot),
    },
    async run(feeds, fetches) {
      const inputs: Record<string, Ort.Tensor> = {};
      for (const [name, array] of Object.entries(feeds)) inputs[name] = toOrt(ort, array);
      const results = await (fetches ? session.run(inputs, fetches) : session.run(inputs));
      const outputs: Record<string, NdArray> = {};
      for (const [name, value] of Object.entries(results)) outputs[name] = fromOrt(value);
      return outputs;
    },
    async runInto(feeds, into) {
      const first = session.outputNames[0]!;
      const halts = session.outputMetadata[0]?.isTensor === false;
      try {
        await session.run(mapped(feeds), { ...(halts && { [first]: null }), ...mapped(into) });
      } catch (error) {
        if (!halts || !(error as Error).message.startsWith('Non tensor type')) throw error;
      }
    },
    endProfile: () => {
      session.endProfiling();
    },
    close: () => session.release(),
  };
}

/**
 * Name of an output that spares copies, added before all others. onnxruntime-node copies each output into an array of its
 * own, also one that it has written into the caller's; it does so one by one, and stops at one that is no tensor.
 * `runInto` leaves out the copies of all outputs after it.
 */
export function haltBeforeOutputs(graph: Graph): Graph {
  const name = freshNames(graph)('halt');
  const node = {
    op: 'SequenceConstruct',
    domain: '',
    name,
    inputs: [graph.outputs[0]!.name],
    outputs: [name],
    attributes: {},
  };
  return { ...graph, nodes: [...graph.nodes, node], outputs: [{ name }, ...graph.outputs] };
}

function toSlot(value: Ort.InferenceSession.ValueMetadata): Slot {
  return value.isTensor
    ? { name: value.name, dtype: value.type, shape: value.shape }
    : { name: value.name, dtype: undefined, shape: [] };
}

function toOrt(ort: typeof Ort, { dtype, dims, data }: NdArray): Ort.Tensor {
  return new ort.Tensor(dtype as 'float32', data as Float32Array, dims);
}

function fromOrt(value: Ort.Tensor): NdArray {
  return { dtype: value.type as DType as NumericDType, dims: value.dims, data: value.data };
}
