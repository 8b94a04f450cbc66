import type { NdArray } from '../../../../src/ir/tensor.js';
import type { Feeds } from '../../../../src/runtime/session.js';
import { decodeBinary, encodeBinary } from '../../../../src/stages/serve/binary/tensors.js';
import { datatypeOf, decodeTensor } from '../../../../src/stages/serve/json/tensors.js';
import { writeRequest, type Answer } from './caller.js';

/** An Open Inference request for all outputs, as JSON or as bytes, both ways. */
export function writeInfer(model: string, feeds: Feeds, binary: boolean, headers = {}): Buffer {
  const path = `/v2/models/${model}/infer`;
  const describe = (name: string, { dtype, dims }: NdArray): object => ({
    name,
    datatype: datatypeOf(dtype),
    shape: dims,
  });
  const inputs = Object.entries(feeds);
  if (!binary) {
    const body = {
      inputs: inputs.map(([name, array]) => ({
        ...describe(name, array),
        data: Array.from(array.data as ArrayLike<unknown>, (value) =>
          typeof value === 'bigint' ? Number(value) : value,
        ),
      })),
    };
    return writeRequest(path, Buffer.from(JSON.stringify(body)), {
      'content-type': 'application/json',
      ...headers,
    });
  }
  const parts = inputs.map(([, array]) => encodeBinary(array));
  const json = Buffer.from(
    JSON.stringify({
      inputs: inputs.map(([name, array], index) => ({
        ...describe(name, array),
        parameters: { binary_data_size: parts[index]!.length },
      })),
      parameters: { binary_data_output: true },
    }),
  );
  return writeRequest(path, Buffer.concat([json, ...parts]), {
    'content-type': 'application/octet-stream',
    'inference-header-content-length': json.length,
    ...headers,
  });
}

export interface Inferred {
  readonly version: string;
  readonly outputs: Record<string, NdArray>;
}

interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: number[];
  readonly data?: unknown[];
  readonly parameters?: { readonly binary_data_size: number };
}

const dtypes = { FP32: 'float32', INT64: 'int64', BYTES: 'string' } as const;

/** What a 200 to an Open Inference request says. */
export function readInferred({ head, body }: Answer): Inferred {
  const length = Number(/inference-header-content-length: *(\d+)/.exec(head)?.[1] ?? body.length);
  const { model_version, outputs } = JSON.parse(body.toString('utf8', 0, length)) as {
    model_version: string;
    outputs: Tensor[];
  };
  let offset = length;
  const read = ({ name, datatype, shape, data, parameters }: Tensor): [string, NdArray] => {
    const dtype = dtypes[datatype as keyof typeof dtypes];
    if (!parameters) return [name, decodeTensor(name, dtype, shape, data)];
    const bytes = body.subarray(offset, (offset += parameters.binary_data_size));
    return [name, decodeBinary(name, dtype, shape, bytes)];
  };
  return { version: model_version, outputs: Object.fromEntries(outputs.map(read)) };
}
