import type { NdArray } from '../../../../ir/tensor.js';
import type { HttpRequest, HttpResponse, ServedModel } from '../../../../plugin/api.js';
import { decodeBinary, encodeBinary } from '../../binary/tensors.js';
import { jsonResponse } from '../../json/body.js';
import { scanTensors, type ScannedList } from '../../json/scan.js';
import { decodeTensor, encodeData, takeScanned } from '../../json/tensors.js';
import { readUrgency } from '../../urgency.js';
import { splitBody, type BinaryPart } from './binary-part.js';
import { Plans, type Plan, type PlannedOutput } from './plan.js';

const plans = new Plans();

/** Answers `…/infer`: tensors as JSON, or as bytes behind the JSON, for each tensor as the caller says. */
export async function infer(request: HttpRequest, model: ServedModel): Promise<HttpResponse> {
  const { json, rest } = splitBody(request);
  // In front of tensors in binary there are hardly ever lists of numbers.
  const single = model.inputs.every(({ dtype }) => dtype === 'float32');
  const scanned = rest.length > 0 ? undefined : scanTensors(json, single, model.inputs.length);
  const plan = plans.read(model, scanned?.text ?? json.toString('utf8'));
  const inputs = readInputs(plan, rest, scanned?.lists);
  const results = await model.predict(inputs, readUrgency(request.headers, plan.parameters));
  const parts: Uint8Array[] = [];
  const outputs = plan.outputs.map((output) => encodeOutput(output, results[output.name]!, parts));
  // Put together by hand: JSON.stringify knows no 64-bit integers.
  const head = `{"model_name":${JSON.stringify(model.name)},"model_version":${JSON.stringify(model.version)}`;
  const own = plan.id === undefined ? '' : `,"id":${JSON.stringify(plan.id)}`;
  const text = `${head}${own},"outputs":[${outputs.join(',')}]}`;
  if (parts.length === 0) return jsonResponse(text, { model });
  const start = Buffer.from(text);
  return {
    status: 200,
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(start.length),
    },
    body: Buffer.concat([start, ...parts]),
    model,
  };
}

function readInputs(
  { inputs }: Plan,
  rest: BinaryPart,
  lists: readonly ScannedList[] | undefined,
): Record<string, NdArray> {
  const read: Record<string, NdArray> = {};
  for (const { name, port, dims, size, data } of inputs) {
    if (size === undefined) {
      // A number under data stands for a list that was scanned: nothing else gets past the scanner.
      const list = typeof data === 'number' ? lists?.[data] : undefined;
      read[name] = list
        ? takeScanned(name, port.dtype, dims, list)
        : decodeTensor(name, port.dtype, dims, data);
    } else read[name] = decodeBinary(name, port.dtype, dims, rest.take(name, size));
  }
  rest.end();
  return read;
}

function encodeOutput({ head, binary }: PlannedOutput, array: NdArray, parts: Uint8Array[]): string {
  const start = `${head}${array.dims.join()}]`;
  if (!binary) return `${start},"data":${encodeData(array)}}`;
  const bytes = encodeBinary(array);
  parts.push(bytes);
  return `${start},"parameters":{"binary_data_size":${bytes.length}}}`;
}
