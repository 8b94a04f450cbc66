import type { Feature, Port } from '../../data/signature.js';
import type { ServedModel, ServeHost } from '../../plugin/api.js';
import { readToolchain } from '../toolchain.js';
import { datatypeOf } from './json/tensors.js';

type Schema = Readonly<Record<string, unknown>>;

/** OpenAPI 3.1 of what is served at this moment; `/predict` has the fields of the model's own signature. */
export function describeApi(host: ServeHost): Schema {
  const models = host.models();
  const paths: Record<string, Schema> = {
    '/v2/health/live': { get: answers('Is the process alive', { live: { type: 'boolean' } }) },
    '/v2/health/ready': { get: answers('Is it ready for requests', { ready: { type: 'boolean' } }) },
  };
  const [first] = models;
  if (first) paths['/predict'] = { post: describePredict(first) };
  if (first?.signature?.generates) paths['/generate'] = { post: describeGenerate(first) };
  for (const model of models) {
    const name = encodeURIComponent(model.name);
    paths[`/predict/${name}`] = { post: describePredict(model) };
    if (model.signature?.generates) paths[`/generate/${name}`] = { post: describeGenerate(model) };
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
    components: { schemas: { Error: object({ error: { type: 'string' } }) } },
  };
}

function describeGenerate({ name }: ServedModel): Schema {
  const whole = { type: 'integer', minimum: 1 };
  const seed = { type: 'integer', minimum: 0 };
  const request = object(
    {
      text: { type: 'string' },
      maxTokens: { ...whole, maximum: 4096, default: 100 },
      temperature: { type: 'number', minimum: 0, default: 1, description: '0: the most probable alone.' },
      topK: { ...whole, description: 'How many of the most probable are drawn from.' },
      stop: { type: 'string', description: 'Where to end, itself the end of the answer.' },
      seed,
    },
    ['text'],
  );
  const finishReason = { type: 'string', enum: ['length', 'stop'] };
  const answer = { text: { type: 'string' }, tokens: whole, finishReason, seed };
  return operation(`Go on with a text, by ${name}`, request, object(answer));
}

function describePredict({ name, signature, inputs, outputs }: ServedModel): Schema {
  const oneOrMany = (schema: Schema): Schema => ({ oneOf: [schema, { type: 'array', items: schema }] });
  if (!signature) {
    const values = (ports: readonly Port[]): Schema =>
      object(Object.fromEntries(ports.map((port) => [port.name, {}])));
    return operation(`Run ${name} on rows`, json(oneOrMany(values(inputs))), oneOrMany(values(outputs)));
  }
  const { features } = signature;
  const row = object(
    Object.fromEntries(features.map((feature) => [feature.name, schemaOf(feature)])),
    features.filter(({ missing }) => missing === undefined).map(({ name }) => name),
  );
  const { labels = [] } = signature.target;
  const prediction =
    signature.task === 'classification'
      ? object({
          label: { type: 'string', enum: labels },
          probabilities: object(Object.fromEntries(labels.map((label) => [label, { type: 'number' }]))),
        })
      : object({ prediction: { type: 'number' } });
  const isImage = features.length === 1 && features[0]!.type === 'image';
  const content = { ...json(oneOrMany(row)), ...(isImage && { 'image/*': {} }) };
  return operation(`Predict ${signature.target.name}`, content, oneOrMany(prediction));
}

function schemaOf({ type, min, max, categories, shape = [], ids }: Feature): Schema {
  if (type === 'array') {
    return shape.reduceRight<Schema>(
      (items, size) => ({ type: 'array', items, minItems: size, maxItems: size }),
      ids === undefined ? { type: 'number' } : { type: 'integer', minimum: 0, maximum: ids - 1 },
    );
  }
  if (type === 'image') return { type: 'string', contentEncoding: 'base64', contentMediaType: 'image/*' };
  if (type !== 'number') return { type: 'string', ...(categories && { examples: categories }) };
  const seen =
    min === undefined || max === undefined ? {} : { description: `From ${min} to ${max} in training.` };
  return { type: 'number', ...seen };
}

function describeInfer({ inputs, outputs }: ServedModel): Schema {
  const tensor = (names: readonly string[], types: readonly string[]): Schema =>
    object({
      name: { type: 'string', enum: names },
      datatype: { type: 'string', enum: [...new Set(types)] },
      shape: { type: 'array', items: { type: 'integer', minimum: 0 } },
      data: { type: 'array' },
    });
  const tensors = (ports: readonly Port[]): Schema => ({
    type: 'array',
    items: tensor(
      ports.map(({ name }) => name),
      ports.map(({ dtype }) => datatypeOf(dtype)),
    ),
  });
  return operation(
    'Open Inference Protocol v2 inference',
    json(object({ inputs: tensors(inputs) })),
    object({ model_name: { type: 'string' }, model_version: { type: 'string' }, outputs: tensors(outputs) }),
  );
}

/** @param content Of the request, by its media type. */
function operation(summary: string, content: Schema, response: Schema): Schema {
  const error = { description: 'What is wrong', content: json({ $ref: '#/components/schemas/Error' }) };
  return {
    summary,
    requestBody: { required: true, content },
    responses: {
      '200': { description: 'The answer', content: json(response) },
      '400': error,
      '413': error,
      '503': error,
    },
  };
}

function answers(summary: string, properties: Readonly<Record<string, Schema>>): Schema {
  const content = json(object(properties));
  return {
    summary,
    responses: { '200': { description: 'Yes', content }, '503': { description: 'No', content } },
  };
}

function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = Object.keys(properties),
): Schema {
  return { type: 'object', properties, required };
}

function json(schema: Schema): Schema {
  return { 'application/json': { schema } };
}
