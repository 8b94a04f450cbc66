import { encodeRows } from '../../../data/encode-rows.js';
import { headsOf, type Head } from '../../../data/heads.js';
import type { Signature } from '../../../data/signature.js';
import type { NdArray } from '../../../ir/tensor.js';
import {
  defineProtocol,
  type HttpRequest,
  type HttpResponse,
  type ServedModel,
  type ServeHost,
} from '../../../plugin/api.js';
import { isObject, jsonResponse, parseBody, textOf } from '../json/body.js';
import { decodePart, findModel } from '../find-model.js';
import { printRow, readInstances, refuseWhole } from '../json/columns.js';
import { allowMethods, RequestError } from '../request-error.js';
import { readUrgency } from '../urgency.js';

type Prediction =
  | { readonly label: string; readonly probabilities: Readonly<Record<string, number>> }
  | { readonly prediction: number };

/**
 * `POST /predict`, or `/predict/MODEL`: one raw feature object, or a list of them, in; one prediction, or a list of them,
 * out; of several targets one for each, by its name. A model of images alone takes the bytes of one, too. A model that says nothing of features takes its inputs by
 * name, a row at a time, and gives its outputs so.
 */
export const predictProtocol = defineProtocol({
  name: 'predict',
  summary: 'POST /predict: raw feature objects in, labels and probabilities or a number out',
  handle(request, host) {
    const { path } = request;
    return path === '/predict' || path.startsWith('/predict/') ? predict(request, host) : undefined;
  },
});

async function predict(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  allowMethods(request.method, ['POST']);
  const model = await findModel(host, nameIn(request.path), undefined);
  const { signature, inputs } = model;
  const body = readBody(request, model);
  const rows: readonly unknown[] = Array.isArray(body) ? body : [body];
  if (rows.length === 0) return jsonResponse('[]', { model });
  if (!signature) {
    const outputs = await model.predict(readInstances(inputs, rows, 'rows'), readUrgency(request.headers));
    refuseWhole(outputs, rows.length);
    const printed = rows.map((_, row) => printRow(Object.keys(outputs), outputs, row));
    return jsonResponse(Array.isArray(body) ? `[${printed.join(',')}]` : printed[0]!, { model });
  }
  const encoded = encodeRows(signature, await withPixels(signature, rows));
  if (!encoded.ok) {
    const count = encoded.errors.length;
    const message =
      count === 1
        ? encoded.errors[0]!.message
        : `${count} problems, the first: ${encoded.errors[0]!.message}`;
    throw new RequestError(400, message, { problems: encoded.errors });
  }
  const outputs = await model.predict(encoded.inputs, readUrgency(request.headers));
  const heads = headsOf(signature);
  const decoded = heads.map((head) => decode(head, outputs, rows.length));
  const predictions =
    heads.length === 1
      ? decoded[0]!
      : rows.map((_, row) => Object.fromEntries(heads.map(({ name }, at) => [name, decoded[at]![row]!])));
  return jsonResponse(JSON.stringify(Array.isArray(body) ? predictions : predictions[0]), { model });
}

/** Of `/predict/MODEL`; undefined for the model that is meant when none is named. */
function nameIn(path: string): string | undefined {
  const name = path.slice('/predict/'.length);
  return name === '' ? undefined : decodePart(name);
}

function readBody(request: HttpRequest, { signature, inputs }: ServedModel): object | readonly unknown[] {
  const type = String(request.headers['content-type'] ?? '');
  if (/^image\//i.test(type)) {
    const [feature, ...others] = signature?.features ?? [];
    if (feature?.type === 'image' && others.length === 0) return { [feature.name]: request.body };
    throw new RequestError(415, `the model does not take an image alone: send JSON, and no ${type}`);
  }
  const bigints = !signature && inputs.some(({ dtype }) => dtype === 'int64' || dtype === 'uint64');
  const body = parseBody(textOf(request), { bigints });
  if (Array.isArray(body) || isObject(body)) return body;
  throw new RequestError(400, 'send one object with the features of a row, or a list of such objects');
}

/** What decodes images is loaded for models that take some. */
async function withPixels(signature: Signature, rows: readonly unknown[]): Promise<readonly unknown[]> {
  if (signature.features.every(({ type }) => type !== 'image')) return rows;
  return (await import('../../../data/images/read-fields.js')).readImageFields(signature, rows);
}

function decode(
  { label, labels: classes = [], values: port }: Head,
  outputs: Readonly<Record<string, NdArray>>,
  rows: number,
): readonly Prediction[] {
  if (label === undefined) {
    const values = outputs[port]!.data as Float32Array;
    return Array.from({ length: rows }, (_, row) => ({ prediction: values[row]! }));
  }
  const labels = outputs[label]!.data as string[];
  const probabilities = outputs[port]!.data as Float32Array;
  return Array.from({ length: rows }, (_, row) => ({
    label: labels[row]!,
    probabilities: Object.fromEntries(
      classes.map((name, index) => [name, probabilities[row * classes.length + index]!]),
    ),
  }));
}
