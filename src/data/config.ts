import { basename, extname } from 'node:path';
import { z } from 'zod';
import { named, type Named } from '../config/named.js';
import { folderColumn, imageOptions } from './images/spec.js';
import { extensions, formatOf, holdsArrays } from './readers/formats.js';
import { transforms, transformsFor, type TransformName } from './transforms/index.js';

const share = z
  .number()
  .gt(0, 'each part of the split needs a share above 0')
  .lt(1, 'each part of the split needs a share below 1');

const columnNames = z
  .array(z.string().min(1))
  .min(1, 'expected at least one column name')
  .check((context) => {
    context.value.forEach((name, index) => {
      if (context.value.indexOf(name) === index) return;
      context.issues.push({
        code: 'custom',
        input: context.value,
        path: [index],
        message: `"${name}" is listed twice`,
      });
    });
  });

/** Fractions as people write them (0.33, 0.33, 0.34) add up to 1 only nearly. */
const splitTolerance = 0.005;

const split = z
  .strictObject({
    train: share.meta({
      description: 'Share of the rows that the weights are fitted to.',
    }),
    validation: share.meta({
      description: 'Share that is watched during training and calibrates compression.',
    }),
    test: share.meta({ description: 'Share that is only ever measured on.' }),
    by: z.enum(['class', 'hash']).optional().meta({
      description:
        'class (the default) meets the shares in every class; hash leaves each row where it is when rows are added.',
    }),
    group: z.string().min(1).optional().meta({
      description:
        'Column whose rows with the same value stay together, such as a patient. No feature by itself.',
    }),
    time: z.string().min(1).optional().meta({
      description:
        'Column of numbers or ISO dates: the latest rows are held out, to test on the future. No feature by itself.',
    }),
  })
  .check((context) => {
    const { train, validation, test, by, group, time } = context.value;
    if (time !== undefined && (by ?? group) !== undefined) {
      context.issues.push({
        code: 'custom',
        input: context.value,
        path: ['time'],
        message: `a split by time takes no ${by === undefined ? 'group' : 'by'}`,
      });
    }
    const sum = train + validation + test;
    if (Math.abs(sum - 1) <= splitTolerance) return;
    context.issues.push({
      code: 'custom',
      input: context.value,
      message: `train, validation and test must add up to 1, these add up to ${Number(sum.toFixed(4))}`,
    });
  });

const missing = z
  .strictObject({
    numbers: z.enum(['median', 'mean', 'error']).default('median').meta({
      description: 'What stands for a missing number: a figure of the training rows; or refuse such rows.',
    }),
    categories: z.enum(['own', 'mostFrequent', 'error']).default('own').meta({
      description: 'What stands for a missing text: a category of its own, or the most frequent one.',
    }),
    target: z
      .enum(['error', 'drop'])
      .default('error')
      .meta({ description: 'What to do with rows whose target is missing.' }),
    columns: z
      .record(z.string(), z.union([z.enum(['median', 'mean', 'own', 'mostFrequent', 'error']), z.number()]))
      .optional()
      .meta({
        description:
          'Other rules for single columns; a number stands for missing ones. A column named here may be left out of requests.',
      }),
    markers: z
      .array(
        z.union([z.string().meta({ description: 'A cell.' }), z.number().meta({ description: 'A number.' })]),
      )
      .optional()
      .meta({
        description:
          'Further ways in which the source writes a missing value, such as -999. Known: empty, ?, NA, NaN, null.',
      }),
  })
  .prefault({});

const transformChoices = z
  .strictObject({
    numbers: named(transformsFor('number'), 'transform')
      .optional()
      .describe('Of columns of numbers. Default: normalization.'),
    categories: named(transformsFor('category'), 'transform')
      .optional()
      .describe('Of columns of categories. Default: oneHot.'),
    texts: named(transformsFor('text'), 'transform')
      .optional()
      .describe('Of columns of text. Default: textVectorization.'),
    columns: z
      .record(z.string(), named(transforms, 'transform'))
      .optional()
      .describe('Of single columns, by name.'),
  })
  .prefault({});

/** What running text has no use for. */
const columnKeys = [
  'features',
  'exclude',
  'types',
  'task',
  'transforms',
  'delimiter',
  'sql',
  'images',
] as const;

/** The one feature of running text. */
export const textFeature = 'text';

const targetTask = z.enum(['classification', 'regression', 'auto']);

const targets = z.union(
  [z.string().min(1), z.array(z.string().min(1)).min(1), z.record(z.string().min(1), targetTask)],
  {
    error: 'expected the name of a column, a list of names, or names with classification, regression or auto',
  },
);

/** Every target with its task, where the config says it. */
function readTargets(given: z.output<typeof targets>): readonly Goal[] {
  if (typeof given === 'string') return [{ name: given }];
  if (Array.isArray(given)) return given.map((name) => ({ name }));
  return Object.entries(given).map(([name, task]) => ({
    name,
    ...(task !== 'auto' && { task }),
  }));
}

interface Goal {
  readonly name: string;
  readonly task?: 'classification' | 'regression';
}

/** The config's `data` section. */
const written = z
  .strictObject({
    source: z
      .string()
      .min(1)
      .refine((path) => formatOf(path) !== undefined, {
        error: ({ input }) =>
          `no reader for "${extname(String(input)) || String(input)}", expected a folder, or a file that ends in ${extensions.join(', ')}`,
      })
      .meta({
        description:
          'File with one row per line: delimited text with the column names first, or JSON Lines, both also packed with gzip; Parquet; arrays: NPZ, NPY, IDX; or a folder that has the images of each class in a folder of their own. Relative to this file.',
      }),
    target: targets.meta({
      description:
        'Column to predict, or a list of several, or each with its task: {species: classification, mass: regression}; of arrays the name of one, or the file that holds it (NPY, IDX); of a folder of images what to call its class folders; of running text what to call the next character; of a reconstruction what to call its error.',
    }),
    features: columnNames.optional().meta({
      description: 'Columns to predict from. Default: all but the target.',
    }),
    exclude: columnNames.optional().meta({
      description: 'Columns to leave out, such as identifiers and copies of the target.',
    }),
    types: z
      .record(z.string(), z.enum(['number', 'category', 'text', 'tokens', 'image']))
      .optional()
      .meta({
        description:
          'Types of columns, where the guess from the values is wrong. Never guessed: text; tokens, which are arrays of ids for an embedding; image, a column of the paths of image files, relative to the source.',
      }),
    task: z.enum(['classification', 'regression', 'reconstruction']).optional().meta({
      description:
        'Default: classification when the target is text or has at most ten different whole numbers, else regression. reconstruction: the model gives rows back, and its prediction is how badly, the mean squared error of the scaled features.',
    }),
    split: split.default({ train: 0.7, validation: 0.15, test: 0.15 }).meta({
      description: 'How the rows are divided. Copies of a row stay together; classes are spread evenly.',
    }),
    missing: missing.meta({
      description:
        'How missing values are filled, when training and when served. Default: median, own category.',
    }),
    transforms: transformChoices.meta({
      description:
        'What becomes of the columns inside of the model, fitted to the train split; requests hold raw values.',
    }),
    delimiter: z
      .string()
      .length(1, 'expected a single character')
      .refine((text) => !/["\r\n]/.test(text), 'a quote or line break cannot separate fields')
      .optional()
      .meta({
        description: 'Character between fields. Default: a comma, in .tsv files a tab.',
      }),
    sql: z.string().regex(/\S/, 'expected a query').optional().meta({
      description:
        'Query whose rows are the data; the file is its table `source`: SELECT size, kind FROM source WHERE size > 0. Needs the package @duckdb/node-api.',
    }),
    images: imageOptions
      .optional()
      .describe('How images become pixels, when training and when served. Needs the package sharp.'),
    text: z
      .strictObject({
        context: z.int().min(1).max(100_000).default(64).describe('Characters that the model sees, at most.'),
        stride: z
          .int()
          .min(1)
          .optional()
          .describe(
            'Characters from one row to the next. Default: the context, so that rows do not overlap.',
          ),
      })
      .optional()
      .describe(
        'The source is running text, and the model learns to go on with it, character by character. The split is by place: the end is held out.',
      ),
    memory: z.number().nonnegative().default(256).meta({
      description:
        'Size in MB from which a source is no longer read into memory: it is encoded once, kept on disk and trained on in blocks.',
    }),
  })
  .check((context) => {
    const goals = readTargets(context.value.target);
    const names = goals.map(({ name }) => name);
    const target = names[0] ?? '';
    const {
      source,
      delimiter,
      features = [],
      exclude = [],
      types = {},
      transforms: given,
      images,
      sql,
    } = context.value;
    const conflict = (path: (string | number)[], message: string): void => {
      context.issues.push({
        code: 'custom',
        input: context.value,
        path,
        message,
      });
    };
    if (goals.length === 0) conflict(['target'], 'expected a column to predict');
    const copy = names.findIndex((name, at) => names.indexOf(name) !== at);
    if (copy >= 0) conflict(['target', copy], `"${names[copy]}" is a target already`);
    if (goals.length > 1) {
      const where = Array.isArray(context.value.target) ? 1 : names[1]!;
      const one = context.value.text
        ? 'running text'
        : formatOf(source)?.kind === 'folder' || holdsArrays(source)
          ? basename(source)
          : context.value.task === 'reconstruction'
            ? 'a reconstruction'
            : undefined;
      if (one !== undefined) conflict(['target', where], `${one} has one target: remove all but ${target}`);
    }
    if (
      context.value.task !== undefined &&
      (goals.length > 1 || goals.some(({ task }) => task !== undefined))
    )
      conflict(
        ['task'],
        `each target has a task of its own: write target: {${target}: ${context.value.task}, …}`,
      );
    if (context.value.text) {
      for (const key of columnKeys) {
        const choice = context.value[key];
        if (choice !== undefined && !(key === 'transforms' && Object.keys(choice).length === 0))
          conflict([key], `${key} is for columns, and data.text says that there are none`);
      }
      for (const key of ['by', 'group', 'time'] as const) {
        if (context.value.split[key] !== undefined)
          conflict(['split', key], `running text is split by place: remove ${key}`);
      }
      if (target === textFeature)
        conflict(['target'], `"${textFeature}" is what goes before: use another name`);
    }
    if (delimiter !== undefined && formatOf(source)?.kind !== 'delimited')
      conflict(['delimiter'], `${basename(source)} has no delimiters`);
    features.forEach((name, index) => {
      if (names.includes(name))
        conflict(['features', index], `"${name}" is the target, it cannot be a feature too`);
      if (exclude.includes(name)) conflict(['features', index], `"${name}" is under data.exclude too`);
    });
    for (const [name, choice] of Object.entries(given.columns ?? {})) {
      const path = ['transforms', 'columns', name];
      const { takes } = transforms[choice.name as TransformName];
      const type = types[name];
      if (names.includes(name)) conflict(path, `"${name}" is the target, it is not transformed`);
      else if (type !== undefined && type !== takes)
        conflict(path, `${choice.name} is for columns of type ${takes}, and data.types says ${type}`);
    }
    const isFolder = formatOf(source)?.kind === 'folder';
    if (context.value.task === 'reconstruction') {
      if (isFolder || holdsArrays(source))
        conflict(['task'], `rows of columns are reconstructed, and ${basename(source)} has none`);
      const wide = Object.entries(types).find(([, type]) => type === 'image' || type === 'tokens');
      if (wide) conflict(['types', wide[0]], `rows of columns are reconstructed, and no ${wide[1]}`);
      if (context.value.missing.target === 'drop')
        conflict(['missing', 'target'], 'a reconstruction has no target that could be missing');
    }
    for (const type of ['text', 'tokens', 'image'] as const) {
      for (const name of names)
        if (types[name] === type) conflict(['types', name], 'the target is a number or a category');
    }
    if (holdsArrays(source)) {
      for (const [name, type] of Object.entries(types))
        if (type === 'image') conflict(['types', name], `${basename(source)} has no paths of images`);
    }
    if (images && !isFolder && !Object.values(types).includes('image'))
      conflict(['images'], 'no column has images: say which under data.types, such as {file: image}');
    if (isFolder && sql !== undefined) conflict(['sql'], `${basename(source)} is a folder, and no table`);
    if (isFolder && target === folderColumn)
      conflict(
        ['target'],
        `"${folderColumn}" is what the images are called: give their classes another name`,
      );
    exclude.forEach((name, index) => {
      if (names.includes(name))
        conflict(['exclude', index], `"${name}" is the target, it cannot be excluded`);
    });
  });

/** With the first target as `target`, and further ones as `others`. */
export const dataSchema = written.transform(({ target, ...rest }) => {
  const [{ name, task } = { name: '' }, ...others] = readTargets(target);
  return {
    ...rest,
    target: name,
    ...(task && { task }),
    ...(others.length > 0 && { others }),
  };
});

/** Names of all targets. */
export function targetsOf({ target, others = [] }: Pick<DataConfig, 'target' | 'others'>): string[] {
  return [target, ...others.map(({ name }) => name)];
}

export type DataConfig = z.output<typeof dataSchema>;
export type Split = DataConfig['split'];
export type ColumnType = 'number' | 'category' | 'text' | 'image';

export type CellType = Exclude<ColumnType, 'text' | 'image'>;

/** What the config says that a column holds, by its type or by its transform. */
export function declaredType({ types, transforms: given }: DataConfig, name: string): ColumnType | undefined {
  const choice: Named | undefined = given.columns?.[name];
  const type = types?.[name];
  if (type === 'tokens') return undefined;
  return type ?? (choice && transforms[choice.name as TransformName].takes);
}

/** Whether the config says that a column holds arrays of ids. */
export function holdsTokens({ types }: Pick<DataConfig, 'types'>, name: string): boolean {
  return types?.[name] === 'tokens';
}

/** How a column's cells are read: texts are strings as categories are, and so are what stands for images. */
export function cellType(config: DataConfig, name: string): CellType | undefined {
  const type = declaredType(config, name);
  return type === 'text' || type === 'image' ? 'category' : type;
}
