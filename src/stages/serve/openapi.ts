import { headsOf, type Head } from '../../data/heads.js';
import type { Port } from '../../data/signature.js';
import type { ServedModel, ServeHost } from '../../plugin/api.js';
import { readToolchain } from '../toolchain.js';
import {
  answerRowSchema,
  answerTensorSchema,
  closed,
  featureSchema,
  object,
  oneOrMany,
  printSchema,
  rowSchema,
  tensorSchema,
  type Schema,
} from './openapi-schemas.js';

/** As JSON. */
export const printApi = (host: ServeHost): string => printSchema(describeApi(host));

/** OpenAPI 3.1 of what is served at this moment; `/predict` has the fields of the model's own signature. */
function describeApi(host: ServeHost): Schema {
  const models = host.models();
  const text = { type: 'string' };
  const state = (name: string): Schema => object({ [name]: { type: 'boolean' } });
  const server = object({ name: text, version: text, extensions: { type: 'array', items: text } });
  const status = object({ name: text, version: text, state: text, reason: text });
  const paths: Record<string, Schema> = {
    '/v2': { get: asks('What the server is', server) },
    '/v2/health/live': { get: asks('Is the process alive', state('live'), ['503'], state('live')) },
    '/v2/health/ready': { get: asks('Is it ready for requests', state('ready'), ['503'], state('ready')) },
    '/v2/repository/index': {
      post: {
        ...asks('All models, loaded or not', { type: 'array', items: status }, failures),
        requestBody: {
          required: false,
          content: json(object({ ready: { type: 'boolean', description: 'Those alone that are.' } }, [])),
        },
      },
    },
  };
  const [first] = models;
  if (first) paths['/predict'] = { post: describePredict(first) };
  if (first?.signature?.generates) paths['/generate'] = { post: describeGenerate(first) };
  for (const model of models) {
    const name = encodeURIComponent(model.name);
    const ready = object({ name: text, ready: { type: 'boolean' } });
    paths[`/predict/${name}`] = { post: describePredict(model) };
    if (model.signature?.generates) paths[`/generate/${name}`] = { post: describeGenerate(model) };
    paths[`/v2/models/${name}`] = {
      get: asks(`What ${model.name} takes and gives`, metadata(), ['404', '503']),
    };
    paths[`/v2/models/${name}/ready`] = { get: asks(`Is ${model.name} ready`, ready, ['404', '503']) };
    paths[`/v2/models/${name}/infer`] = { post: describeInfer(model) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: host.projectName,
      version: first?.version ?? 'none',
      summary: `Served by maas ${readToolchain().maas}`,
    },
    paths,
    components: { schemas: { Error: object({ error: text }) } },
  };
}

function metadata(): Schema {
  const text = { type: 'string' };
  const shape = { type: 'array', items: { type: 'integer', minimum: -1 } };
  const ports = { type: 'array', items: object({ name: text, datatype: text, shape }) };
  const versions = { type: 'array', items: text };
  return object({ name: text, versions, platform: text, inputs: ports, outputs: ports });
}

function describeGenerate({ name }: ServedModel): Schema {
  const whole = { type: 'integer', minimum: 1 };
  const seed = { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 };
  const request = object(
    {
      text: { type: 'string' },
      maxTokens: { ...whole, maximum: 4096, default: 100 },
      temperature: {
        type: 'number',
        minimum: 0,
        maximum: 100,
        default: 1,
        description: '0: the most probable alone.',
      },
      topK: {
        ...whole,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'How many of the most probable are drawn from.',
      },
      stop: { type: 'string', minLength: 1, description: 'Where to end, itself the end of the answer.' },
      seed,
    },
    ['text'],
  );
  const finishReason = { type: 'string', enum: ['length', 'stop'] };
  const answer = { text: { type: 'string' }, tokens: { type: 'integer' }, finishReason, seed };
  return operation(`Go on with a text, by ${name}`, json(closed(request)), object(answer));
}

function describePredict(model: ServedModel): Schema {
  const { signature } = model;
  if (!signature) return describeRows(model);
  const { features } = signature;
  const row = object(
    Object.fromEntries(features.map((feature) => [feature.name, featureSchema(feature)])),
    features.filter(({ missing }) => missing === undefined).map(({ name }) => name),
  );
  const heads = headsOf(signature);
  const prediction =
    heads.length === 1
      ? predictionSchema(heads[0])
      : object(Object.fromEntries(heads.map((head) => [head.name, predictionSchema(head)])));
  const isImage = features.length === 1 && features[0]!.type === 'image';
  const content = { ...json(oneOrMany(closed(row))), ...(isImage && { 'image/*': {} }) };
  return operation(`Predict ${heads.map(({ name }) => name).join(', ')}`, content, oneOrMany(prediction));
}

function predictionSchema({ task, labels = [] }: Head): Schema {
  if (task === 'regression') return object({ prediction: { type: 'number' } });
  return object({
    label: { type: 'string', enum: labels },
    probabilities: object(Object.fromEntries(labels.map((label) => [label, { type: 'number' }]))),
  });
}

/** Rows by the names of the inputs. The only input, or output, may stand for itself. */
function describeRows({ name, inputs, outputs }: ServedModel): Schema {
  const all = (ports: readonly Port[], schemaOf: (port: Port) => Schema): Schema =>
    object(Object.fromEntries(ports.map((port) => [port.name, schemaOf(port)])));
  const row = closed(all(inputs, rowSchema));
  const rows = { type: 'array', items: inputs.length === 1 ? { anyOf: [row, rowSchema(inputs[0]!)] } : row };
  const answer = outputs.length === 1 ? answerRowSchema(outputs[0]!) : all(outputs, answerRowSchema);
  return operation(`Run ${name} on rows`, json({ oneOf: [row, rows] }), {
    anyOf: [answer, { type: 'array', items: answer }],
  });
}

function describeInfer({ inputs, outputs }: ServedModel): Schema {
  const count = { minItems: inputs.length, maxItems: inputs.length };
  const names = outputs.map(({ name }) => name);
  const request = object(
    {
      id: { type: 'string' },
      inputs:
        inputs.length === 1
          ? { type: 'array', items: tensorSchema(inputs[0]!), ...count }
          : { type: 'array', prefixItems: inputs.map(tensorSchema), ...count },
      outputs: {
        type: 'array',
        items: object({ name: { type: 'string', enum: names } }),
        description: 'Those alone, each once; all without it.',
      },
    },
    ['inputs'],
  );
  const answer = object(
    {
      model_name: { type: 'string' },
      model_version: { type: 'string' },
      id: { type: 'string' },
      outputs: { type: 'array', items: { anyOf: outputs.map(answerTensorSchema) }, maxItems: outputs.length },
    },
    ['model_name', 'outputs'],
  );
  return operation('Open Inference Protocol v2 inference', json(request), answer);
}

/** What may be wrong with a request, or with its moment. */
const failures = ['400', '404', '413', '415', '503', '504'];

/** @param content Of the request, by its media type. */
function operation(summary: string, content: Schema, response: Schema): Schema {
  return { ...asks(summary, response, [...failures, '500']), requestBody: { required: true, content } };
}

/** @param otherwise What an answer that is none of success holds. */
function asks(
  summary: string,
  response: Schema,
  statuses: readonly string[] = [],
  otherwise: Schema = { $ref: '#/components/schemas/Error' },
): Schema {
  const error = { description: 'What is wrong', content: json(otherwise) };
  return {
    summary,
    responses: {
      '200': { description: 'The answer', content: json(response) },
      ...Object.fromEntries(statuses.map((status) => [status, error])),
    },
  };
}

function json(schema: Schema): Schema {
  return { 'application/json': { schema } };
}
