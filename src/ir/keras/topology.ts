import { invalidKeras, unsupportedLayer, type LayerTitle } from './problems.js';

/** An output of one call of a layer: shared layers are called several times. */
export interface Ref {
  readonly layer: string;
  readonly call: number;
  readonly output: number;
}

export interface KerasLayer extends LayerTitle {
  readonly config: Readonly<Record<string, unknown>>;
  /** What each call of the layer reads. Layers inside others have none of their own. */
  readonly calls: readonly (readonly Ref[])[];
}

/** The layers of a model and how they are joined, whichever of Keras' forms the file has. */
export interface Topology {
  readonly name: string;
  readonly layers: readonly KerasLayer[];
  readonly inputs: readonly Ref[];
  readonly outputs: readonly Ref[];
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function fieldsOf(value: unknown, what: string): Fields {
  if (isFields(value)) return value;
  throw invalidKeras(`${what} is no object`);
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalidKeras(`${what} is no list`);
}

const textOf = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);

const modelClasses = new Set(['Sequential', 'Functional', 'Model']);

/** Whether a layer is a model with layers of its own. */
export const isModel = ({ className, config }: Pick<KerasLayer, 'className' | 'config'>): boolean =>
  modelClasses.has(className) && 'layers' in config;

/**
 * Reads the model that `modelTopology` of a model.json describes.
 * @throws MaasError MAAS_MODEL_INVALID, or MAAS_MODEL_UNSUPPORTED for graph models.
 */
export function readTopology(modelTopology: unknown): Topology {
  const stated = fieldsOf(modelTopology, 'modelTopology');
  if ('node' in stated || 'library' in stated) {
    throw unsupportedLayer(
      { name: 'model.json', className: 'graph model' },
      'it is a graph of TensorFlow operators and has no layers',
    );
  }
  return topologyOf(readLayer('model_config' in stated ? stated['model_config'] : stated, 'the model'));
}

/** @param value {class_name, config}, with more around it in a model's list of layers. */
export function readLayer(value: unknown, what: string): KerasLayer {
  const { class_name: className, config, name, inbound_nodes: calls } = fieldsOf(value, what);
  if (typeof className !== 'string') throw invalidKeras(`${what} has no class_name`);
  // Files of Keras before 2.2 have a sequential model's layers alone.
  const settings = Array.isArray(config)
    ? { layers: config }
    : fieldsOf(config ?? {}, `the config of ${what}`);
  return {
    className: className.split('>').at(-1)!,
    name: textOf(name ?? settings['name'], className.toLowerCase()),
    config: settings,
    calls:
      calls === undefined
        ? []
        : listOf(calls, `inbound_nodes of ${what}`).map((call) => readCall(call, what)),
  };
}

/** Also for models that are layers of another one. */
export function topologyOf(model: KerasLayer): Topology {
  if (!isModel(model)) throw invalidKeras(`${model.name} (${model.className}) is no model with layers`);
  const layers = listOf(model.config['layers'], `the layers of ${model.name}`).map((layer, index) =>
    readLayer(layer, `layer ${index + 1} of ${model.name}`),
  );
  if (layers.length === 0) throw invalidKeras(`${model.name} has no layers`);
  const read = model.className === 'Sequential' ? sequential(model, layers) : functional(model, layers);
  const names = read.layers.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalidKeras(`two layers of ${model.name} are called ${twice}`);
  return read;
}

function sequential(model: KerasLayer, layers: readonly KerasLayer[]): Topology {
  const [first] = layers as [KerasLayer];
  const input: KerasLayer = first.className === 'InputLayer' ? first : inputBefore(model, first);
  const chain = [input, ...(first === input ? layers.slice(1) : layers)];
  const refTo = ({ name }: KerasLayer): Ref => ({ layer: name, call: 0, output: 0 });
  return {
    name: model.name,
    layers: chain.map((layer, index) => ({
      ...layer,
      calls: index === 0 ? [] : [[refTo(chain[index - 1]!)]],
    })),
    inputs: [refTo(input)],
    outputs: [refTo(chain.at(-1)!)],
  };
}

/** A first layer states what it takes; where it is a model, its own first layer does. */
function inputBefore(model: KerasLayer, first: KerasLayer): KerasLayer {
  let stated = first;
  while (isModel(stated)) {
    const inner = listOf(stated.config['layers'], `the layers of ${stated.name}`);
    stated = readLayer(inner[0], `the first layer of ${stated.name}`);
  }
  const shape =
    stated.config['batch_input_shape'] ?? stated.config['batch_shape'] ?? model.config['build_input_shape'];
  if (shape === undefined) {
    throw unsupportedLayer(
      first,
      `it states no input shape (inputShape in TensorFlow.js), being the first layer`,
    );
  }
  const config = { batch_input_shape: shape, dtype: stated.config['dtype'] };
  return { name: `${first.name}_input`, className: 'InputLayer', config, calls: [] };
}

function functional({ name, config }: KerasLayer, layers: readonly KerasLayer[]): Topology {
  const inputs = readEnds(config['input_layers'], `input_layers of ${name}`);
  const outputs = readEnds(config['output_layers'], `output_layers of ${name}`);
  const refs = [...outputs, ...layers.flatMap(({ calls }) => calls.flat())];
  // Keras counts the calls of a model inside another from 1: the first is that by which it was made.
  const shifted = new Set(
    layers
      .filter(
        (layer) =>
          isModel(layer) && refs.some((ref) => ref.layer === layer.name && ref.call >= layer.calls.length),
      )
      .map((layer) => layer.name),
  );
  const shift = (ref: Ref): Ref => (shifted.has(ref.layer) ? { ...ref, call: ref.call - 1 } : ref);
  const known = new Map(layers.map((layer) => [layer.name, layer]));
  for (const ref of [...inputs, ...refs]) {
    if (!known.has(ref.layer)) throw invalidKeras(`${name} reads the layer ${ref.layer}, which is not there`);
  }
  return {
    name,
    layers: layers.map((layer) => ({ ...layer, calls: layer.calls.map((call) => call.map(shift)) })),
    inputs,
    outputs: outputs.map(shift),
  };
}

/** [[name, call, output], …], or just one of them. */
function readEnds(value: unknown, what: string): Ref[] {
  const list = listOf(value, what);
  return (typeof list[0] === 'string' ? [list] : list).map((ref) => readRef(ref, what));
}

function readRef(value: unknown, what: string): Ref {
  const [layer, call = 0, output = 0] = listOf(value, what);
  if (typeof layer !== 'string' || typeof call !== 'number' || typeof output !== 'number') {
    throw invalidKeras(`${what} does not say which layer it reads`);
  }
  return { layer, call, output };
}

/** One call: [[name, call, output, arguments], …] of Keras 2, {args, kwargs} of Keras 3. */
function readCall(call: unknown, what: string): Ref[] {
  if (isFields(call)) {
    return findHistories([call['args'], call['kwargs']]).map((history) =>
      readRef(history, `what ${what} reads`),
    );
  }
  const list = listOf(call, `a call of ${what}`);
  return (typeof list[0] === 'string' ? [list] : list).flatMap((ref) => {
    const [, , , kwargs] = listOf(ref, `a call of ${what}`);
    for (const [key, value] of Object.entries(isFields(kwargs) ? kwargs : {})) {
      if (value !== null && key !== 'training')
        throw invalidKeras(`${what} is called with ${key}, which maas cannot import`);
    }
    return [readRef(ref, `what ${what} reads`)];
  });
}

function findHistories(value: unknown): unknown[] {
  if (Array.isArray(value)) return value.flatMap(findHistories);
  if (!isFields(value)) return [];
  if (value['class_name'] === '__keras_tensor__')
    return [fieldsOf(value['config'], 'a tensor')['keras_history']];
  return Object.values(value).flatMap(findHistories);
}
