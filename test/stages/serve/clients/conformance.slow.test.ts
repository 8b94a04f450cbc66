import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type Server } from '../../../e2e/maas.js';
import { findPython } from './find-python.js';
import { writeModels } from './models.js';
import { findDocuments, type Document } from './official-document.js';

const python = await findPython();
const documents = python === undefined ? undefined : await findDocuments(python);

type Paths = Record<string, Document>;
type Schemas = Record<string, Document & { properties?: Record<string, Document> }>;

const pathsOf = (document: Document): Paths => document['paths'] as Paths;
const schemasOf = (document: Document): Schemas => (document['components'] as { schemas: Schemas }).schemas;

/** Names that path parameters are drawn from: a document cannot know what is served. */
function fill(document: Document, names: readonly string[]): Document {
  const copy = structuredClone(document);
  for (const path of Object.values(pathsOf(copy))) {
    for (const parameter of (path['parameters'] ?? []) as { name: string; schema: Document }[]) {
      parameter.schema = { type: 'string', enum: parameter.name === 'model_name' ? names : ['1'] };
    }
  }
  return copy;
}

function keepPaths(document: Document, keep: (path: string) => boolean): Document {
  const paths = Object.fromEntries(Object.entries(pathsOf(document)).filter(([path]) => keep(path)));
  return { ...document, paths };
}

/** Statuses that the text knows of and the documents leave out. */
function addRefusals(document: Document, which: RegExp, statuses: readonly string[]): Document {
  for (const [name, path] of Object.entries(pathsOf(document))) {
    if (!which.test(name)) continue;
    for (const operation of Object.values(path) as { responses?: Record<string, unknown> }[]) {
      for (const status of statuses) if (operation.responses) operation.responses[status] ??= refusal;
    }
  }
  return document;
}

/** A model that is not ready says so under its name; any other refusal is an error object. */
const refusal = {
  description: 'refused',
  content: {
    'application/json': {
      schema: {
        type: 'object',
        anyOf: [{ required: ['error'] }, { required: ['name', 'ready'] }],
        properties: { error: { type: 'string' }, name: { type: 'string' }, ready: { type: 'boolean' } },
      },
    },
  },
};

describe.skipIf(!documents)('the OpenAPI documents of the Open Inference Protocol', () => {
  const models = ['echo', 'double'];
  const timeout = 120_000;
  let folder: string;
  let server: Server;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'maas-conformance-'));
    await writeModels(folder);
    server = await serve(folder, ['--models', folder]);
    for (const name of models) await fetch(`${server.url}/v2/models/${name}`);
  });
  afterAll(async () => {
    expect((await server.stop()).code).toBe(0);
    await rm(folder, { recursive: true, force: true });
  });

  /** @param left Checks that the document gives no ground for. */
  const fuzz = async (document: Document, examples: number, left: readonly string[] = []): Promise<void> => {
    const file = join(folder, 'document.json');
    await writeFile(file, JSON.stringify(document));
    const args = ['run', file, '--url', server.url, '--seed=1', '--no-color', '--checks=all'];
    const phases = '--phases=examples,coverage,fuzzing';
    const { all, exitCode } = await execa(
      python!,
      [
        '-m',
        'schemathesis.cli',
        ...args,
        phases,
        `--max-examples=${examples}`,
        ...(left.length > 0 ? [`--exclude-checks=${left.join()}`] : []),
      ],
      { all: true, reject: false, cwd: folder },
    );
    expect(exitCode, all).toBe(0);
    expect(all).toMatch(/\d+ generated, \d+ passed/);
  };

  /** What the protocol says, without what MLServer adds to it. */
  const dataplane = (): Document => {
    const document = fill(documents!.dataplane, models);
    // `{"type": "bytes"}` is no type of JSON Schema; the protocol's own document says this of the items.
    const items = { anyOf: ['number', 'string', 'boolean', 'array'].map((type) => ({ type })) };
    schemasOf(document)['TensorData'] = { type: 'array', items };
    // Some clients print what they leave out as null.
    schemasOf(document)['Parameters'] = { type: 'object', nullable: true };
    const paths = pathsOf(document);
    // The text of the protocol says `v2`, its own document `/v2/`.
    paths['/v2/'] = { get: { ...(paths['/v2']!['get'] as Document), operationId: 'server-metadata-slash' } };
    return keepPaths(document, (path) => !/generate|infer_stream/.test(path));
  };

  it('tell what the server answers of its health, of itself and of its models', { timeout }, async () => {
    const document = keepPaths(dataplane(), (path) => !path.endsWith('/infer'));
    // Of readiness they know 200 alone. By the text, other states have other statuses.
    await fuzz(addRefusals(document, /ready$/, ['404', '503']), 20);
  });

  it('tell how any request for inference is answered', { timeout }, async () => {
    const document = keepPaths(dataplane(), (path) => path.endsWith('/infer'));
    // Hardly any of these requests names the tensors of a model.
    await fuzz(document, 25, ['positive_data_acceptance']);
  });

  it('tell what is inferred, and every request that fits the model is answered', { timeout }, async () => {
    const document = keepPaths(dataplane(), (path) => path === '/v2/models/{model_name}/infer');
    const [[, path]] = Object.entries(pathsOf(document)) as [[string, Document]];
    document['paths'] = { '/v2/models/double/infer': { post: path['post'] } };
    // The text: "The inference request object … is required in the HTTP body".
    ((path['post'] as Document)['requestBody'] as Document)['required'] = true;
    const { InferenceRequest, RequestInput, RequestOutput, ResponseOutput } = schemasOf(document);
    // From here on the nearest FP32 is infinity.
    const [minimum, maximum] = [2 ** 103 - 2 ** 128, 2 ** 128 - 2 ** 103];
    const number = { type: 'number', minimum, maximum, exclusiveMinimum: true, exclusiveMaximum: true };
    const row = { type: 'array', items: number, minItems: 2, maxItems: 2 };
    Object.assign(RequestInput!.properties!, {
      name: { enum: ['x'] },
      datatype: { enum: ['FP32'] },
      shape: { enum: [[2, 2]] },
      data: {
        anyOf: [
          { ...row, minItems: 4, maxItems: 4 },
          { ...row, items: row },
        ],
      },
    });
    // Twice a large number is infinity, which JSON has no word for.
    const orInfinity = { type: 'number', nullable: true };
    ResponseOutput!.properties!['data'] = { type: 'array', items: orInfinity };
    Object.assign(RequestOutput!.properties!, { name: { enum: ['y'] } });
    Object.assign(InferenceRequest!.properties!['inputs']!, { minItems: 1, maxItems: 1 });
    Object.assign(InferenceRequest!.properties!['outputs']!, { maxItems: 1 });
    await fuzz(document, 50);
  });

  it('tell how the repository of models is led', { timeout }, async () => {
    const document = fill(documents!.repository, models);
    // The text of the extension: "a failed … request must be indicated by an HTTP error status (typically 400)".
    await fuzz(addRefusals(document, /./, ['400', '404']), 20);
  });
});
