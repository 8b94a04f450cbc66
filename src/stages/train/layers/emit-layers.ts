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
  /** How many ids the data has, where the first layer gets ids. */
  readonly ids?: number | undefined;
}

/** Emits layers one after another, or as their names and inputs say. */
export interface LayerEmitter {
  /** Weights that gradients change, in the order in which they were emitted. */
  readonly trainable: readonly string[];
  /** @returns the output of the last layer. */
  emit(choices: readonly LayerChoice[], x: string): string;
}

/** Name of what the first layer gets. */
const source = 'features';

export function openLayers(g: GraphBuilder, { seed, path: root, place, ids }: LayersOptions): LayerEmitter {
  const trainable: string[] = [];
  const counts = new Map<string, number>();
  const taken = new Set<string>();

  /** Values of a list and those around it, by the names of the layers that gave them. */
  type Named = ReadonlyMap<string, string>;

  const emitList = (
    choices: readonly LayerChoice[],
    first: string,
    path: ConfigPath,
    around: Named,
  ): string => {
    const values = new Map(around).set(source, around.get(source) ?? first);
    return choices.reduce((x, choice, index) => {
      const at = [...path, index, choice.name];
      const { name, inputs } = wiringOf(choice);
      const read = inputs?.map((input, position) => find(values, input, [...at, 'inputs', position]));
      const output = emitOne(choice, read ?? [x], at, values);
      if (name !== undefined) values.set(name, output);
      return output;
    }, first);
  };

  const find = (values: Named, name: string, path: ConfigPath): string => {
    const value = values.get(name);
    if (value !== undefined) return value;
    throw new MaasError('MAAS_MODEL_SHAPE', `no layer before this one is named "${name}"`, {
      place: place(path),
      hint: didYouMean(name, [...values.keys()]) ?? `Names so far: ${[...values.keys()].join(', ')}.`,
    });
  };

  const emitOne = (choice: LayerChoice, read: readonly string[], path: ConfigPath, around: Named): string => {
    const layer = layerOf(choice.name);
    const site = siteOf(choice, path, around);
    if ('merge' in layer) {
      if (read.length < 2)
        throw site.misfit('takes two inputs or more', 'Name them: inputs: [first, second].');
      return layer.merge(site, read, choice.options);
    }
    if (read.length > 1) throw site.misfit('takes one input', 'Put a concatenate or an add before it.');
    checkType(site, layer, read[0]!);
    return layer.emit(site, read[0]!, choice.options);
  };

  const siteOf = (choice: LayerChoice, path: ConfigPath, around: Named): Site => {
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
          ? emitList(choices, x, [...path, key], around)
          : emitOne(choices, [x], [...path, key, choices.name], new Map(around).set(source, x)),
      ids,
    };
  };

  const nameOf = (choice: LayerChoice, path: ConfigPath): string => {
    const given = wiringOf(choice).name;
    const count = (counts.get(choice.name) ?? 0) + 1;
    counts.set(choice.name, count);
    const name = given ?? `${choice.name}_${count}`;
    if (taken.has(name)) {
      throw new MaasError('MAAS_MODEL_SHAPE', `two layers are named "${name}"`, {
        place: place(path),
        hint: 'Give each a name of its own.',
      });
    }
    taken.add(name);
    return name;
  };

  return { trainable, emit: (choices, x) => emitList(choices, x, root, new Map()) };
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
