import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { MaasError } from '../../../errors.js';
import type { LoadRequest } from './client.js';
import type { InputDescription, ModelDescription } from './describe-model.js';

export interface RequestOptions {
  readonly protocol: 'json' | 'binary';
  /** Rows of each request: the first axis, where the model leaves it open. */
  readonly batch: number;
  /** Whole shapes by input, for axes that the model leaves open. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** Different ones, so that nobody answers the same bytes from memory. */
const variety = 32;
/** Together, in numbers: requests of large batches need not be as many. */
const mostNumbers = 2 ** 22;

type Write = (view: DataView, at: number, random: number) => void;

/** Bytes of an element, and how a random number in [0, 1) becomes one. Integers are 0 or 1: safe as ids, too. */
const datatypes: Readonly<Record<string, readonly [number, Write]>> = {
  BOOL: [
    1,
    (view, at, random) => {
      view.setUint8(at, Number(random < 0.5));
    },
  ],
  UINT8: [
    1,
    (view, at, random) => {
      view.setUint8(at, Math.floor(random * 256));
    },
  ],
  UINT16: [
    2,
    (view, at, random) => {
      view.setUint16(at, Number(random < 0.5), true);
    },
  ],
  UINT32: [
    4,
    (view, at, random) => {
      view.setUint32(at, Number(random < 0.5), true);
    },
  ],
  UINT64: [
    8,
    (view, at, random) => {
      view.setBigUint64(at, BigInt(random < 0.5), true);
    },
  ],
  INT8: [
    1,
    (view, at, random) => {
      view.setInt8(at, Number(random < 0.5));
    },
  ],
  INT16: [
    2,
    (view, at, random) => {
      view.setInt16(at, Number(random < 0.5), true);
    },
  ],
  INT32: [
    4,
    (view, at, random) => {
      view.setInt32(at, Number(random < 0.5), true);
    },
  ],
  INT64: [
    8,
    (view, at, random) => {
      view.setBigInt64(at, BigInt(random < 0.5), true);
    },
  ],
  // ±1 to ±2: 0x3c00 is 1 in half precision, ten bits of fraction below.
  FP16: [
    2,
    (view, at, random) => {
      view.setUint16(at, 0x3c00 + Math.floor(random * 1024), true);
    },
  ],
  FP32: [
    4,
    (view, at, random) => {
      view.setFloat32(at, 2 * random - 1, true);
    },
  ],
  FP64: [
    8,
    (view, at, random) => {
      view.setFloat64(at, 2 * random - 1, true);
    },
  ],
};

/** How JSON says what {@link datatypes} has written. */
const readers: Readonly<Record<string, (view: DataView, at: number) => string>> = {
  BOOL: (view, at) => (view.getUint8(at) === 1 ? 'true' : 'false'),
  UINT8: (view, at) => String(view.getUint8(at)),
  UINT16: (view, at) => String(view.getUint16(at, true)),
  UINT32: (view, at) => String(view.getUint32(at, true)),
  UINT64: (view, at) => String(view.getBigUint64(at, true)),
  INT8: (view, at) => String(view.getInt8(at)),
  INT16: (view, at) => String(view.getInt16(at, true)),
  INT32: (view, at) => String(view.getInt32(at, true)),
  INT64: (view, at) => String(view.getBigInt64(at, true)),
  FP16: (view, at) => String(1 + (view.getUint16(at, true) - 0x3c00) / 1024),
  // As Python prints a float32 that became a double: exactly.
  FP32: (view, at) => String(view.getFloat32(at, true)),
  FP64: (view, at) => String(view.getFloat64(at, true)),
};

/**
 * Requests of made-up values for the `infer` of the Open Inference Protocol: floats in [−1, 1), bytes of any value, other
 * integers 0 or 1, texts of one letter.
 * @throws MaasError MAAS_USAGE for a shape that does not fit the model, or an input of a type that cannot be made up.
 */
export function makeRequests(model: ModelDescription, options: RequestOptions): LoadRequest[] {
  for (const name of Object.keys(options.shapes)) {
    if (model.inputs.some((input) => input.name === name)) continue;
    throw new MaasError('MAAS_USAGE', `--shape names ${name}, which ${model.name} does not take`, {
      hint: `It takes ${model.inputs.map((input) => input.name).join(', ')}.`,
    });
  }
  const shapes = model.inputs.map((input) => fillShape(input, options));
  const numbers = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
  const count = Math.max(2, Math.min(variety, Math.floor(mostNumbers / Math.max(1, numbers))));
  const generator = xoroshiro128plus(7);
  const random = (): number => uniformFloat64(generator);
  const path = `${model.path}/infer`;
  return Array.from({ length: count }, () => {
    const tensors = model.inputs.map((input, at) => makeTensor(input, shapes[at]!, random));
    return { path, ...(options.protocol === 'json' ? asJson(tensors) : asBinary(tensors)) };
  });
}

interface Tensor extends InputDescription {
  readonly bytes: Buffer;
  readonly json: string;
}

function fillShape(input: InputDescription, { shapes, batch }: RequestOptions): number[] {
  const asked = shapes[input.name];
  if (asked) {
    const fits =
      asked.length === input.shape.length &&
      input.shape.every((size, axis) => size < 0 || size === asked[axis]);
    if (fits) return [...asked];
    throw new MaasError(
      'MAAS_USAGE',
      `--shape ${input.name}:${asked.join()} does not fit: the model takes [${input.shape.join(', ')}]`,
    );
  }
  if (batch !== 1 && input.shape.length > 0 && input.shape[0]! >= 0) {
    throw new MaasError(
      'MAAS_USAGE',
      `${input.name} takes [${input.shape.join(', ')}]: its first axis is not open, so there is no --batch ${batch}`,
    );
  }
  return input.shape.map((size, axis) => (size >= 0 ? size : axis === 0 ? batch : 1));
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

function makeTensor(input: InputDescription, shape: readonly number[], random: () => number): Tensor {
  const length = sizeOf(shape);
  if (input.datatype === 'BYTES') {
    // Each element is its length, four bytes, and then itself.
    const bytes = Buffer.alloc(5 * length);
    const letters = Array.from({ length }, (_, at) => {
      const letter = String.fromCharCode(97 + Math.floor(random() * 26));
      bytes.writeUInt32LE(1, 5 * at);
      bytes.write(letter, 5 * at + 4, 'latin1');
      return `"${letter}"`;
    });
    return { ...input, shape, bytes, json: letters.join() };
  }
  const [width, write] = datatypes[input.datatype] ?? [];
  const read = readers[input.datatype];
  if (!width || !write || !read) {
    throw new MaasError(
      'MAAS_USAGE',
      `input ${input.name} is ${input.datatype}, which values cannot be made up for`,
      {
        hint: 'Write the requests yourself: --requests FILE, one JSON body a line.',
      },
    );
  }
  const bytes = Buffer.alloc(width * length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const texts = Array.from({ length }, (_, at) => {
    write(view, at * width, random());
    return read(view, at * width);
  });
  return { ...input, shape, bytes, json: texts.join() };
}

function asJson(tensors: readonly Tensor[]): Pick<LoadRequest, 'headers' | 'body'> {
  const inputs = tensors.map(({ name, datatype, shape, json }) => {
    const head = JSON.stringify({ name, datatype, shape });
    return `${head.slice(0, -1)},"data":[${json}]}`;
  });
  return { headers: { 'content-type': 'application/json' }, body: `{"inputs":[${inputs.join()}]}` };
}

/** Both ways as bytes: https://github.com/kserve/open-inference-protocol (binary tensor data extension). */
function asBinary(tensors: readonly Tensor[]): Pick<LoadRequest, 'headers' | 'body'> {
  const inputs = tensors.map(({ name, datatype, shape, bytes }) => ({
    name,
    datatype,
    shape,
    parameters: { binary_data_size: bytes.length },
  }));
  const json = Buffer.from(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
  const headers = {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': String(json.length),
  };
  return { headers, body: Buffer.concat([json, ...tensors.map(({ bytes }) => bytes)]) };
}
