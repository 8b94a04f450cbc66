/**
 * A module of JavaScript that takes rows, encodes them as maas does (encode-rows.ts of the same signature), runs the
 * model beside it, and gives what `POST /predict` gives. It needs nothing but the TensorFlow.js that it is given.
 */
export function predictModule(signature: object): string {
  return `${head}const signature = ${JSON.stringify(signature, null, 2)};\n${body}`;
}

const head = `// Rows in, predictions out:
//
//   import * as tf from '@tensorflow/tfjs';
//   import { load } from './predict.js';
//   const predict = await load(tf);
//   const answers = await predict([{ /* a value for each feature */ }]);

/** What the model takes and gives. */
export `;

const body = String.raw`
/**
 * Loads the model.
 * @param tf TensorFlow.js.
 * @param url Of model.json.
 * @returns a function from rows to predictions.
 */
export async function load(tf, url = new URL('model.json', import.meta.url).href) {
  const model = await tf.loadGraphModel(url);
  const names = signature.outputs.map(({ name }) => name);
  return async (rows) => {
    if (!Array.isArray(rows) || rows.length === 0) throw new TypeError('predict takes a list of rows, one at least');
    const made = tf.tidy(() => [].concat(model.execute(encode(tf, rows), names)));
    const data = await Promise.all(made.map((tensor) => tensor.data()));
    tf.dispose(made);
    return rows.map((_, row) => answer(Object.fromEntries(names.map((name, at) => [name, data[at]])), row));
  };
}

const heads = [{ task: signature.task, ...signature.target }, ...(signature.others || [])];

function answer(outputs, row) {
  if (heads.length === 1) return answerOf(heads[0], '', outputs, row);
  return Object.fromEntries(heads.map((head) => [head.name, answerOf(head, head.name + '.', outputs, row)]));
}

function answerOf({ task, labels }, prefix, outputs, row) {
  if (task === 'regression') return { prediction: outputs[prefix + 'prediction'][row] };
  const shares = outputs[prefix + 'probabilities'].slice(row * labels.length, (row + 1) * labels.length);
  return {
    label: labels[outputs[prefix + 'label'][row]],
    probabilities: Object.fromEntries(labels.map((label, at) => [label, shares[at]])),
  };
}

/** The model's inputs. Throws TypeError that names row and feature. */
function encode(tf, rows) {
  rows.forEach((given, row) => {
    for (const name of Object.keys(given)) {
      if (!signature.features.some((feature) => feature.name === name))
        throw new TypeError('row ' + row + ': there is no feature ' + name);
    }
  });
  return Object.fromEntries(
    signature.inputs.map((input) => {
      const features = signature.features.filter((feature) => feature.input === input.name);
      if (features[0].type === 'image')
        return [input.name, tf.stack(rows.map((given, row) => pixels(tf, features[0], given, row)))];
      const shape = [rows.length, ...input.shape.slice(1)];
      const values = rows.flatMap((given, row) => features.flatMap((feature) => valuesOf(input, feature, given, row)));
      return [input.name, tf.tensor(values, shape, input.dtype)];
    }),
  );
}

function valuesOf(input, feature, given, row) {
  const value = given[feature.name];
  const wrong = (what) => new TypeError('row ' + row + ': ' + feature.name + ' ' + what);
  const { missing } = feature;
  const isMissing = value === undefined || value === null || (missing && missing.written.includes(String(value)));
  if (isMissing && !missing) throw wrong('is missing');
  if (input.categories) {
    const { codes, other } = input.categories;
    const text = isMissing ? '' : String(value);
    return Object.hasOwn(codes, text) ? codes[text] : other;
  }
  if (isMissing) return NaN;
  if (feature.type === 'array') {
    const values = ArrayBuffer.isView(value) ? Array.from(value) : [value].flat(Infinity);
    const count = feature.shape.reduce((product, size) => product * size, 1);
    if (values.length !== count) throw wrong('must hold ' + count + ' numbers, found ' + values.length);
    for (const one of values) {
      if (typeof one !== 'number' || !Number.isFinite(one)) throw wrong('must hold numbers, found ' + one);
      if (feature.ids !== undefined && !(Number.isInteger(one) && one >= 0 && one < feature.ids))
        throw wrong('must hold ids from 0 to ' + (feature.ids - 1) + ', found ' + one);
    }
    return values;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong('must be a finite number, found ' + value);
  return value;
}

/** [height, width, channels] → [channels, height, width], in the model's size. */
function pixels(tf, feature, given, row) {
  const image = given[feature.name];
  const [channels, height, width] = feature.shape;
  if (!(image instanceof tf.Tensor) || image.rank !== 3 || image.shape[2] !== channels) {
    throw new TypeError('row ' + row + ': ' + feature.name + ' must be a tensor [height, width, ' + channels + ']');
  }
  const isOwnSize = image.shape[0] === height && image.shape[1] === width;
  const sized = isOwnSize ? image : tf.round(tf.image.resizeBilinear(image, [height, width], false, true));
  return tf.transpose(tf.cast(sized, 'int32'), [2, 0, 1]);
}
`;
