import { z } from 'zod';
import { named } from '../../src/config/named.js';
import type { Engine, Pass, Registry, Stage } from '../../src/plugin/api.js';
import { createRegistry } from '../../src/plugin/registry.js';

const refuse = () => Promise.reject(new Error('not to be run'));

function stage(name: string, definition: Partial<Stage>): Stage {
  return {
    name,
    summary: `The ${name} stage`,
    options: () => z.strictObject({}),
    reads: ['model'],
    writes: 'model',
    version: 1,
    tasks: () => [],
    ...definition,
  };
}

const engine: Engine = { name: 'onnx', summary: 'In process', train: refuse };
const commandEngine: Engine = {
  name: 'command',
  summary: 'A program of your own',
  options: z.strictObject({ run: z.string().describe('Command line') }),
  train: refuse,
};
const quantize: Pass = {
  name: 'quantize',
  summary: 'Weights as int8',
  options: z.strictObject({
    mode: z.enum(['dynamic', 'static']).default('dynamic').describe('When activations are measured'),
  }),
  version: 1,
  run: refuse,
};

const optimizers = {
  adam: {
    summary: 'Adaptive moments',
    options: z.strictObject({ learningRate: z.number().positive().default(0.001).describe('Step size') }),
  },
  sgd: { summary: 'Gradient descent', options: z.strictObject({ learningRate: z.number().default(0.01) }) },
};

function trainOptions(registry: Registry) {
  const engines = [...registry.engines.values()].map(
    ({ name, summary, options = z.strictObject({}) }) => [name, { summary, options }] as const,
  );
  return z.strictObject({
    engine: named(Object.fromEntries(engines), 'engine').prefault('onnx').describe('What computes'),
    optimizer: named(optimizers, 'optimizer').prefault('adam').describe('How weights change'),
    model: z
      .union([
        z.string().min(1),
        z.strictObject({ units: z.array(z.int().min(1)), bias: z.boolean().default(true) }),
      ])
      .describe('What is trained'),
    epochs: z.int().min(1).default(60).describe('Passes over the training split'),
    shuffle: z.boolean().default(true).describe('Whether the order of rows changes between epochs'),
  });
}

/** A small pipeline with the shapes that configs come in, none of which can be run. */
export const sampleRegistry = createRegistry([
  {
    plugin: 'maas-cli',
    registration: {
      apiVersion: 1,
      stages: [
        stage('train', { reads: [], options: trainOptions }),
        stage('compress', {
          after: 'train',
          options: ({ passes }) =>
            z.strictObject({ passes: z.array(named(Object.fromEntries(passes), 'pass')).min(1) }),
        }),
        stage('deploy', {
          after: 'compress',
          writes: 'release',
          options: () => z.strictObject({ keep: z.int().min(1).default(5) }).prefault({}),
        }),
      ],
      engines: [engine, commandEngine],
      passes: [quantize],
      services: [
        {
          name: 'serve',
          summary: 'Answers requests',
          options: () =>
            z.strictObject({
              host: z.string().default('127.0.0.1').describe('Address to listen on'),
              port: z.int().min(0).max(65535).default(8080).describe('Port to listen on'),
            }),
          start: refuse,
        },
      ],
    },
  },
]);
