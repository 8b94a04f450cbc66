import type { ConfigPath } from '../../../config/index.js';
import { MaasError, type Place } from '../../../errors.js';
import type { GraphBuilder } from '../../../ir/builder.js';
import { sizeOf, tensor } from '../../../ir/tensor.js';
import { didYouMean } from '../../../suggest.js';
import { randomStream } from '../random.js';
import { layerOf, type LayerChoice } from './index.js';
import { drawWeights } from './initializers.js';
import type { Layer, Site } from './layer.js';
import type { Wiring } from './list-schema.js';

export interface LayersOptions {
  readonly seed: number;
  /** Path of the list in the config. */
  readonly path: ConfigPath;
  readonly place: (path: ConfigPath) => Place;
  /** How many ids there are, by the value that holds them. */
  readonly ids?: ReadonlyMap<string, number | undefined>;
}

/** What layers may read beside each other, by name; it is emitted when the first of them does. */
export type Sources = ReadonlyMap<string, () => string>;

/** Emits layers one after another, or as their names and inputs say. */
export interface LayerEmitter {
  /** Weights that gradients change, in the order in which they were emitted. */
  readonly trainable: readonly string[];
  /**
   * @param sources Among them `features`, which the first layer gets when it names no inputs.
   * @returns the output of the last layer.
   */
  emit(choices: readonly LayerChoice[], sources: Sources): string;
}

/** Name of the source that the first layer gets. */
export const firstSource = 'features';

export function openLayers(g: GraphBuilder, { seed, path: root, place, ids }: LayersOptions): LayerEmitter {
  const trainable: string[] = [];
  const counts = new Map<string, number>();
  const taken = new Map<string, 'layer' | 'input'>();

  const emitList = (
    choices: readonly LayerChoice[],
    first: () => string,
    path: ConfigPath,
    around: Sources,
  ): string => {
    const values = new Map(around);
    let x = first;
    for (const [index, choice] of choices.entries()) {
      const at = [...path, index, choice.name];
      const { name, inputs } = wiringOf(choice);
      const read = inputs?.map((input, position) => find(values, input, [...at, 'inputs', position]));
      const output = emitOne(choice, read ?? [x()], at, values);
      x = () => output;
      if (name !== undefined) values.set(name, x);
    }
    return x();
  };

  const find = (values: Sources, name: string, path: ConfigPath): string => {
    const value = values.get(name);
    if (value !== undefined) return value();
    throw new MaasError('MAAS_MODEL_SHAPE', `no layer before this one is named "${name}"`, {
      place: place(path),
      hint: didYouMean(name, [...values.keys()]) ?? `Names so far: ${[...values.keys()].join(', ')}.`,
    });
  };

  const emitOne = (
    choice: LayerChoice,
    read: readonly string[],
    path: ConfigPath,
    around: Sources,
  ): string => {
    const layer = layerOf(choice.name);
    const site = siteOf(choice, read, path, around);
    if ('merge' in layer) {
      if (read.length < 2)
        throw site.misfit('takes two inputs or more', 'Name them: inputs: [first, second].');
      return layer.merge(site, read, choice.options);
    }
    if (read.length > 1) throw site.misfit('takes one input', 'Put a concatenate or an add before it.');
    checkType(site, layer, read[0]!);
    return layer.emit(site, read[0]!, choice.options);
  };

  const siteOf = (choice: LayerChoice, read: readonly string[], path: ConfigPath, around: Sources): Site => {
    const name = nameOf(choice, path);
    const own = (part: string): string => g.unique(`${name}/${part}`);
    return {
      g,
      name,
      weight(part, dims, initializer, fans) {
        const random = randomStream(seed, `initial/${name}.${part}`, 0);
        const weight = own(part);
        trainable.push(weight);
        const values =
          typeof initializer === 'function'
            ? Float32Array.from({ length: sizeOf(dims) }, (_, at) => initializer(at))
            : drawWeights(initializer, dims, fans, random);
        return g.initializer(weight, tensor('float32', dims, values));
      },
      statistic(part, dims, value) {
        const values = new Float32Array(sizeOf(dims)).fill(value);
        return g.initializer(own(part), tensor('float32', dims, values));
      },
      misfit: (message, hint) =>
        new MaasError('MAAS_MODEL_SHAPE', `${showPath(path)} ${message}`, { place: place(path), hint }),
      nested: (key, choices, x) =>
        isList(choices)
          ? emitList(choices, () => x, [...path, key], around)
          : emitOne(
              choices,
              [x],
              [...path, key, choices.name],
              new Map(around).set(firstSource, () => x),
            ),
      ids: ids?.get(read[0]!),
    };
  };

  const nameOf = (choice: LayerChoice, path: ConfigPath): string => {
    const given = wiringOf(choice).name;
    const count = (counts.get(choice.name) ?? 0) + 1;
    counts.set(choice.name, count);
    const name = given ?? `${choice.name}_${count}`;
    const holder = taken.get(name);
    if (holder !== undefined) {
      const both = holder === 'layer' ? 'two layers are' : 'an input and a layer are both';
      throw new MaasError('MAAS_MODEL_SHAPE', `${both} named "${name}"`, {
        place: place(path),
        hint: 'Give each a name of its own.',
      });
    }
    taken.set(name, 'layer');
    return name;
  };

  return {
    trainable,
    emit(choices, sources) {
      for (const name of sources.keys()) taken.set(name, 'input');
      return emitList(choices, sources.get(firstSource)!, root, sources);
    },
  };
}

function isList(choices: LayerChoice | readonly LayerChoice[]): choices is readonly LayerChoice[] {
  return Array.isArray(choices);
}

/** @throws MaasError MAAS_MODEL_SHAPE for ids where there should be numbers, and the other way round. */
function checkType(site: Site, { takes }: Layer<unknown>, x: string): void {
  const isIds = site.g.dtypeOf(x) === 'int64';
  if (isIds === (takes === 'ids')) return;
  throw isIds
    ? site.misfit('takes numbers, what comes before it gives ids', 'Put an embedding before it.')
    : site.misfit(
        'takes ids, what comes before it gives numbers',
        'Make it the first layer, and give the model ids: data.types: {COLUMN: tokens}.',
      );
}

function wiringOf({ options }: LayerChoice): Wiring {
  return typeof options === 'object' && options !== null ? options : {};
}

/** train.model.layers[2].dense */
function showPath(path: ConfigPath): string {
  return path.map((key, at) => (typeof key === 'number' ? `[${key}]` : at === 0 ? key : `.${key}`)).join('');
}
