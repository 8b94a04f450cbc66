import type { ConfigPath } from '../../config/place.js';
import { MaasError, type Place } from '../../errors.js';
import type { DataConfig } from '../config.js';
import type { Dataset, Table } from '../dataset.js';
import { lineOf, partsOf } from '../rows.js';
import type { Feature, Signature } from '../signature.js';
import { transformOf, type AppliedTransform, type TransformChoice } from './index.js';

/** What is done with a feature, where it is not the default of its type. */
function choiceFor({ name, type }: Feature, { transforms }: DataConfig): TransformChoice | undefined {
  const own = transforms.columns?.[name] as TransformChoice | undefined;
  if (own) return own;
  const { numbers, categories, texts } = transforms;
  const byType = { number: numbers, category: categories, text: texts, array: undefined, image: undefined };
  const chosen = byType[type] as TransformChoice | undefined;
  return chosen ?? (type === 'text' ? { name: 'textVectorization', options: textDefaults } : undefined);
}

const textDefaults = transformOf('textVectorization').options.parse({});

/**
 * Fits the transforms that the config names to the train split.
 * @param placeOf Where the config says something; by default the source is named in its place.
 * @throws MaasError MAAS_DATA_COLUMN for a transform that is for columns of another type, MAAS_DATA_VALUE at a value
 * that it does not take.
 */
export function fitTransforms(
  config: DataConfig,
  signature: Signature,
  train: Table,
  path: string,
  placeOf: (path: ConfigPath) => Place = () => ({ file: path }),
): NonNullable<Dataset['transforms']> {
  const fitted: [string, AppliedTransform][] = [];
  for (const feature of signature.features) {
    const choice = choiceFor(feature, config);
    if (!choice) continue;
    const transform = transformOf(choice.name);
    if (transform.takes !== feature.type) {
      throw misfit(
        feature,
        choice.name,
        transform.takes,
        placeOf(['data', 'transforms', 'columns', feature.name]),
      );
    }
    refuseValues(feature, choice.name, train, path);
    const facts = transform.fit(valuesOf(feature, train), choice.options, feature);
    if (choice.name === 'textVectorization' && (facts as { tokens: unknown[] }).tokens.length === 0)
      throw noWords(feature, path);
    fitted.push([feature.name, { name: choice.name, facts }]);
  }
  return Object.fromEntries(fitted);
}

/** Values of the train split in its order, missing ones filled in; read from the table anew each time. */
function valuesOf({ input, column, missing }: Feature, { inputs }: Table): Iterable<number | string> {
  const source = inputs[input]!;
  const width = source.dims[1] ?? 1;
  const written = new Set(['', ...(missing?.written ?? [])]);
  return {
    *[Symbol.iterator]() {
      for (const { data } of partsOf(source)) {
        for (let at = column; at < data.length; at += width) {
          const value = data[at] as number | string;
          const isMissing = typeof value === 'string' ? written.has(value) : Number.isNaN(value);
          yield missing && isMissing ? missing.fill : value;
        }
      }
    },
  };
}

function refuseValues(feature: Feature, name: TransformChoice['name'], train: Table, path: string): void {
  const transform = transformOf(name);
  if (!transform.refuse) return;
  let row = 0;
  for (const value of valuesOf(feature, train)) {
    const problem = transform.refuse(value as number);
    if (problem !== undefined) {
      throw new MaasError('MAAS_DATA_VALUE', `column "${feature.name}" ${problem}`, {
        place: { file: path, line: lineOf(train, row) },
        hint: `Correct the value, or choose another transform: data.transforms: {columns: {${feature.name}: normalization}}.`,
      });
    }
    row += 1;
  }
}

function misfit({ name, type }: Feature, transform: string, takes: string, place: Place): MaasError {
  return new MaasError(
    'MAAS_DATA_COLUMN',
    `data.transforms.columns says ${transform} for "${name}", which is a column of type ${type}`,
    {
      place,
      hint: `${transform} is for columns of type ${takes}: data.types: {${name}: ${takes}}.`,
    },
  );
}

function noWords({ name }: Feature, path: string): MaasError {
  return new MaasError('MAAS_DATA_VALUE', `column "${name}" has no word in any row of the train split`, {
    place: { file: path },
    hint: `Take characters instead, {textVectorization: {split: character}}, or list it under data.exclude.`,
  });
}
