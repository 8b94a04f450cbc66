// A trainer in the user's place: softmax regression by gradient descent, in plain JavaScript. Its model is put together
// from a template that the test leaves beside it: a graph of the right shapes, whose weights are written over.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const { MAAS_DATA, MAAS_OUT, MAAS_CHECKPOINTS, MAAS_CONFIG, MAAS_PROGRESS } = process.env;
const { epochs, options } = JSON.parse(readFileSync(MAAS_CONFIG, 'utf8'));
const schema = JSON.parse(readFileSync(join(MAAS_DATA, 'schema.json'), 'utf8'));
const report = (line) => appendFileSync(MAAS_PROGRESS, `${JSON.stringify(line)}\n`);

function readArray(split, name) {
  const { file } = schema.splits[split].arrays[name];
  const bytes = readFileSync(join(MAAS_DATA, file));
  const start = 10 + bytes.readUInt16LE(8);
  const dims = /'shape': \(([^)]*)\)/
    .exec(bytes.toString('latin1', 10, start))[1]
    .split(',')
    .filter((size) => size.trim())
    .map(Number);
  const body = Uint8Array.from(bytes.subarray(start)).buffer;
  return {
    dims,
    data: bytes.toString('latin1', 10, start).includes('<i8')
      ? Array.from(new BigInt64Array(body), Number)
      : new Float32Array(body),
  };
}

const x = readArray('train', 'features');
const y = readArray('train', 'target');
const [rows, columns] = x.dims;
const classes = schema.target.labels.length;
const saved = join(MAAS_CHECKPOINTS, 'weights.json');
const state = existsSync(saved)
  ? JSON.parse(readFileSync(saved, 'utf8'))
  : { epoch: 0, kernel: new Array(columns * classes).fill(0), bias: new Array(classes).fill(0) };
if (state.epoch > 0) report({ note: `went on after epoch ${state.epoch}` });

while (state.epoch < epochs) {
  const slopes = new Float64Array(columns * classes);
  const offsets = new Float64Array(classes);
  let loss = 0;
  for (let row = 0; row < rows; row++) {
    const logits = state.bias.map((bias, at) => {
      let sum = bias;
      for (let i = 0; i < columns; i++) sum += x.data[row * columns + i] * state.kernel[i * classes + at];
      return sum;
    });
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    loss -= logits[y.data[row]] - Math.log(total);
    logits.forEach((logit, at) => {
      const slope = (Math.exp(logit) / total - (at === y.data[row] ? 1 : 0)) / rows;
      offsets[at] += slope;
      for (let i = 0; i < columns; i++) slopes[i * classes + at] += slope * x.data[row * columns + i];
    });
  }
  const rate = options.learningRate ?? 1;
  state.kernel = state.kernel.map((weight, at) => weight - rate * slopes[at]);
  state.bias = state.bias.map((weight, at) => weight - rate * offsets[at]);
  state.epoch += 1;
  writeFileSync(saved, JSON.stringify(state));
  report({ epoch: state.epoch, loss: loss / rows, validation: { loss: loss / rows } });
  if (options.dieAfter === state.epoch) {
    console.error('Traceback: out of luck');
    process.exit(7);
  }
  if (options.hangAfter === state.epoch) await new Promise((resolve) => setTimeout(resolve, 60_000));
}

// The template's weights are counted through (1, 2, 3 …), so that their place in the file is found by value.
const model = readFileSync(options.template);
const counted = Buffer.from(
  Float32Array.from({ length: columns * classes + classes }, (_, at) => at + 1).buffer,
);
const split = columns * classes * 4;
for (const [from, to, values] of [
  [0, split, state.kernel],
  [split, counted.length, state.bias],
]) {
  const at = model.indexOf(counted.subarray(from, to));
  if (at < 0) throw new Error(`the template has other weights than [${columns}, ${classes}]`);
  Buffer.from(Float32Array.from(values).buffer).copy(model, at);
}
if (!options.leaveNothing) writeFileSync(join(MAAS_OUT, 'model.onnx'), model);
