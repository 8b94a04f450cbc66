import { hash, randomInt } from 'node:crypto';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import { z } from 'zod';
import { encodeRows } from '../../../data/encode-rows.js';
import { defineProtocol, type HttpRequest, type HttpResponse, type ServeHost } from '../../../plugin/api.js';
import { decodePart, findModel } from '../find-model.js';
import { jsonResponse, parseBody, textOf } from '../json/body.js';
import { allowMethods, RequestError } from '../request-error.js';
import { readUrgency } from '../urgency.js';

const seeds = 2 ** 31;

const requestSchema = z.strictObject({
  text: z.string(),
  maxTokens: z.int().min(1).max(4096).default(100),
  temperature: z.number().min(0).max(100).default(1),
  topK: z.int().min(1).optional(),
  stop: z.string().min(1).optional(),
  seed: z
    .int()
    .min(0)
    .max(seeds - 1)
    .optional(),
});

type Request = z.output<typeof requestSchema>;

/**
 * `POST /generate`, or `/generate/MODEL`: a text in, what the model says comes after it out, a character at a time. The
 * answer names the seed: the same request with it gives the same text.
 */
export const generateProtocol = defineProtocol({
  name: 'generate',
  summary: 'POST /generate: a text in, what comes after it out, from models of running text',
  handle(request, host) {
    const { path } = request;
    return path === '/generate' || path.startsWith('/generate/') ? generate(request, host) : undefined;
  },
});

async function generate(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  allowMethods(request.method, ['POST']);
  const name = request.path.slice('/generate/'.length);
  const model = await findModel(host, name === '' ? undefined : decodePart(name), undefined);
  const { signature } = model;
  const labels = signature?.target.labels;
  if (!signature?.generates || !labels) {
    throw new RequestError(400, `the model ${model.name} does not go on with texts; ask /predict`);
  }
  const { feature, context } = signature.generates;
  const { seed = randomInt(seeds), ...wanted } = readRequest(parseBody(textOf(request)));
  // Through a hash: neighbouring seeds would begin alike.
  const state = Buffer.from(hash('sha256', String(seed)), 'hex');
  const random = xoroshiro128plusFromState([0, 4, 8, 12].map((at) => state.readInt32LE(at)));
  const urgency = readUrgency(request.headers);
  const characters = Array.from(wanted.text);
  const before = characters.length;
  let text = '';
  for (let count = 0; count < wanted.maxTokens && !endsWith(text, wanted.stop); count++) {
    const encoded = encodeRows(signature, [{ [feature]: characters.slice(-context).join('') }]);
    if (!encoded.ok) throw new RequestError(400, encoded.errors[0]!.message);
    const outputs = await model.predict(encoded.inputs, urgency);
    const next = labels[choose(outputs['probabilities']!.data as Float32Array, wanted, random)]!;
    characters.push(next);
    text += next;
  }
  const finishReason = endsWith(text, wanted.stop) ? 'stop' : 'length';
  const body = { text, tokens: characters.length - before, finishReason, seed };
  return jsonResponse(JSON.stringify(body), { model });
}

const endsWith = (text: string, stop: string | undefined): boolean =>
  stop !== undefined && text.endsWith(stop);

/** @throws RequestError 400 with everything that is wrong with the request. */
function readRequest(body: unknown): Request {
  const parsed = requestSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => ({
    field: path.length > 0 ? path.join('.') : undefined,
    message: path.length > 0 ? `${path.join('.')}: ${message}` : message,
  }));
  throw new RequestError(400, problems[0]!.message, { problems });
}

/**
 * An index, drawn by its probability. Below 1 the temperature favours what is probable, at 0 only the most probable is
 * taken; topK leaves all but so many out.
 */
function choose(
  probabilities: Float32Array,
  { temperature, topK = probabilities.length }: Request,
  random: RandomGenerator,
): number {
  const order = Array.from(probabilities.keys()).sort(
    (a, b) => probabilities[b]! - probabilities[a]! || a - b,
  );
  if (temperature === 0) return order[0]!;
  const kept = order.slice(0, topK);
  // As a share of the greatest, so that no power of it is out of range.
  const greatest = probabilities[kept[0]!]!;
  const weights = kept.map((index) => (probabilities[index]! / greatest) ** (1 / temperature));
  let left = uniformFloat64(random) * weights.reduce((sum, weight) => sum + weight, 0);
  const at = weights.findIndex((weight) => (left -= weight) < 0);
  return kept[at === -1 ? 0 : at]!;
}
