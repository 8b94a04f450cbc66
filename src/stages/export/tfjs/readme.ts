import type { Slot } from '../../../ir/tfjs/graph-model.js';
import type { GraphModel } from '../../../ir/tfjs/graph-model.js';
import type { Subject } from '../formats.js';

/** Says what lies in the folder and how it is called, with names of this very model. */
export function readme({ name, signature }: Subject, made: GraphModel): string {
  const { inputs, outputs, categories, labels } = made;
  const row = signature?.features.map((feature) => `${JSON.stringify(feature.name)}: ${exampleOf(feature)}`);
  const lines = [
    `# ${name}, for TensorFlow.js`,
    '',
    'A graph model: `model.json`, and its weights beside it. It runs in browsers and in Node.js, on every backend of',
    '[TensorFlow.js](https://www.tensorflow.org/js) 4. A page has to come from a server: browsers load nothing beside a file.',
    '',
    ...(row
      ? [
          '## Rows',
          '',
          '`predict.js` takes rows as `POST /predict` of maas does, and gives the same answers.',
          '',
          '```js',
          "import * as tf from '@tensorflow/tfjs';",
          "import { load } from './predict.js';",
          '',
          'const predict = await load(tf);',
          `const [answer] = await predict([{ ${row.join(', ')} }]);`,
          '```',
          '',
          signature!.task === 'classification'
            ? 'An answer has a `label` and its `probabilities`.'
            : 'An answer has a `prediction`.',
          'Without a bundler, a page loads the script `tf.min.js` and imports the module: `load(window.tf)`.',
          ...(signature!.features.some(({ type }) => type === 'image')
            ? [
                '',
                'An image is a tensor [height, width, channels] of 0 to 255, as `tf.browser.fromPixels` gives it; where its size is',
                'another than that of the model, it is resized, which is not to the last bit what maas makes of a file.',
              ]
            : []),
          '',
        ]
      : []),
    '## Tensors',
    '',
    '```js',
    "import * as tf from '@tensorflow/tfjs';",
    '',
    "const model = await tf.loadGraphModel('model.json');",
    `const y = model.execute({ ${inputs.map(call).join(', ')} }, ${JSON.stringify(outputs.at(-1)!.name)});`,
    '```',
    '',
    '| input | type | shape | |',
    '| --- | --- | --- | --- |',
    ...inputs.map((slot) =>
      printSlot(slot, categories[slot.name] ? 'the number of a category, from `signature.json`' : ''),
    ),
    '',
    '| output | type | shape | |',
    '| --- | --- | --- | --- |',
    ...outputs.map((slot) =>
      printSlot(slot, labels[slot.name] ? 'the number of a label, from `signature.json`' : ''),
    ),
    '',
    '`N` is the number of rows. Graphics hardware that computes with 16 bits, as that of some phones, gives coarser numbers.',
    '',
  ];
  return lines.join('\n');
}

function call({ name, shape }: Slot): string {
  const sizes = shape.map((size) => (typeof size === 'number' ? size : 1));
  return `${JSON.stringify(name)}: tf.zeros([${sizes.join(', ')}])`;
}

function printSlot({ name, dtype, shape }: Slot, note: string): string {
  return `| \`${name}\` | ${dtype} | [${shape.join(', ')}] | ${note} |`;
}

function exampleOf({
  type,
  min = 0,
  max = 0,
  categories = [],
}: NonNullable<Subject['signature']>['features'][number]): string {
  if (type === 'number') return String(Number(((min + max) / 2).toPrecision(3)));
  return type === 'category'
    ? JSON.stringify(categories[0] ?? '')
    : type === 'image'
      ? 'tf.browser.fromPixels(img)'
      : '[…]';
}
