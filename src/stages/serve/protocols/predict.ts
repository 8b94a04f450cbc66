import { encodeRows } from '../../../data/encode-rows.js';
import type { Signature } from '../../../data/signature.js';
import type { NdArray } from '../../../ir/tensor.js';
import { defineProtocol, type HttpRequest, type HttpResponse, type ServeHost } from '../../../plugin/api.js';
import { isObject, jsonResponse, parseBody, textOf } from '../json/body.js';
import { allowMethods, busy, RequestError } from '../request-error.js';

type Prediction =
  | { readonly label: string; readonly probabilities: Readonly<Record<string, number>> }
  | { readonly prediction: number };

/** `POST /predict`: one raw feature object, or a list of them, in; one prediction, or a list of them, out. */
export const predictProtocol = defineProtocol({
  name: 'predict',
  summary: 'POST /predict: raw feature objects in, labels and probabilities or a number out',
  handle(request, host) {
    return request.path === '/predict' ? predict(request, host) : undefined;
  },
});

async function predict(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  allowMethods(request.method, ['POST']);
  const [model] = host.models();
  if (!model) throw busy('no model is loaded yet');
  const body = parseBody(textOf(request));
  if (!Array.isArray(body) && !isObject(body)) {
    throw new RequestError(400, 'send one object with the features of a row, or a list of such objects');
  }
  const rows: readonly unknown[] = Array.isArray(body) ? body : [body];
  if (rows.length === 0) return jsonResponse('[]', { model });
  const encoded = encodeRows(model.signature, rows);
  if (!encoded.ok) {
    const count = encoded.errors.length;
    const message =
      count === 1
        ? encoded.errors[0]!.message
        : `${count} problems, the first: ${encoded.errors[0]!.message}`;
    throw new RequestError(400, message, { problems: encoded.errors });
  }
  const outputs = await model.predict(encoded.inputs);
  const predictions = decode(model.signature, outputs, rows.length);
  return jsonResponse(JSON.stringify(Array.isArray(body) ? predictions : predictions[0]), { model });
}

function decode(
  signature: Signature,
  outputs: Readonly<Record<string, NdArray>>,
  rows: number,
): readonly Prediction[] {
  if (signature.task === 'regression') {
    const values = outputs['prediction']!.data as Float32Array;
    return Array.from({ length: rows }, (_, row) => ({ prediction: values[row]! }));
  }
  const labels = outputs['label']!.data as string[];
  const probabilities = outputs['probabilities']!.data as Float32Array;
  const classes = signature.target.labels ?? [];
  return Array.from({ length: rows }, (_, row) => ({
    label: labels[row]!,
    probabilities: Object.fromEntries(
      classes.map((name, index) => [name, probabilities[row * classes.length + index]!]),
    ),
  }));
}
