import { layers } from '../../../src/stages/train/layers/index.js';
import { describe, expect, it } from 'vitest';
import { trainOptions } from '../../../src/stages/train/config.js';
import { defineEngine, type Engine } from '../../../src/plugin/api.js';
import { commandEngine, onnxEngine, tfjsNodeEngine } from '../../../src/stages/train/index.js';

const schema = trainOptions({ engines: new Map([['onnx', onnxEngine]]) });
const model = { layers: [{ dense: { units: 16, activation: 'relu' } }, { dropout: { rate: 0.1 } }, 'dense'] };

describe('the train section', () => {
  it('needs layers, and fills in the rest', () => {
    expect(schema.parse({ model })).toMatchObject({
      engine: { name: 'onnx' },
      model: {
        layers: [
          {
            name: 'dense',
            options: {
              units: 16,
              activation: 'relu',
              useBias: true,
              kernelInitializer: 'glorotUniform',
              biasInitializer: 'zeros',
            },
          },
          { name: 'dropout', options: { rate: 0.1 } },
          { name: 'dense', options: { units: 'auto', activation: 'linear' } },
        ],
      },
      optimizer: { name: 'adam', options: { learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } },
      epochs: 100,
      earlyStopping: { patience: 10, restoreBestWeights: true },
      batchSize: 32,
      threads: 1,
      gates: {},
    });
  });

  it('trains for as long as the config says, else for as long as it helps', () => {
    const exact = schema.parse({ model, epochs: 7 });
    expect(exact.epochs).toBe(7);
    expect(exact.earlyStopping).toBeUndefined();
    const patient = schema.parse({ model, earlyStopping: { patience: 3 } });
    expect(patient).toMatchObject({ epochs: 100, earlyStopping: { patience: 3 } });
    const own = trainOptions({ engines: new Map([['command', commandEngine as Engine]]) }).parse({
      engine: { command: { run: 'python train.py' } },
    });
    expect(own.epochs).toBe(60);
    expect(own.earlyStopping).toBeUndefined();
  });

  it('takes optimizers and losses by name, with options', () => {
    const parsed = schema.parse({
      model,
      optimizer: { sgd: { momentum: 0.9 } },
      loss: 'categoricalCrossentropy',
    });
    expect(parsed.optimizer).toEqual({
      name: 'sgd',
      options: {
        ...{ learningRate: 0.01, momentum: 0.9, nesterov: false },
        ...{ weightDecay: 0, decayVectors: false },
      },
    });
    expect(parsed.loss).toEqual({ name: 'categoricalCrossentropy', options: { labelSmoothing: 0 } });
  });

  it('takes a preset, or a file', () => {
    expect(schema.parse({ model: { preset: 'mlp' } }).model).toEqual({
      preset: { name: 'mlp', options: { units: [64, 64], activation: 'relu', dropout: 0 } },
    });
    const given = { onnx: 'a.onnx', freeze: ['stem.*'], head: { after: 'pool' }, preprocess: true };
    expect(schema.parse({ model: given }).model).toEqual(given);
    for (const source of [{ keras: 'model.json' }, { module: './model.mjs' }])
      expect(schema.parse({ model: { ...source, head: 'keep' } }).model).toEqual({ ...source, head: 'keep' });
  });

  it('leaves models from files untrained, and no others', () => {
    expect(schema.parse({ model: { keras: 'model.json' }, epochs: 0 }).epochs).toBe(0);
    expect(schema.safeParse({ model: { preset: 'mlp' }, epochs: 0 }).error?.issues).toMatchObject([
      { path: ['epochs'], message: 'a model that is not from a file must be trained: expected 1 or more' },
    ]);
  });

  it('wants a model, but for an engine that brings its own', () => {
    const own = defineEngine({
      name: 'own',
      summary: 'brings its own',
      ownsModel: true,
      train: () => Promise.reject(new Error('not to be called')),
    });
    const both = trainOptions({
      engines: new Map<string, Engine>([
        ['onnx', onnxEngine],
        ['own', own],
      ]),
    });
    expect(both.parse({ engine: 'own' }).model).toBeUndefined();
    const messages = (section: unknown) =>
      both.safeParse(section).error?.issues.map(({ message }) => message);
    expect(messages({ engine: 'own', ema: {}, accumulate: 2, sampling: 'balanced' })).toEqual([
      'the own engine leaves the steps to its trainer: remove accumulate',
      'the own engine leaves the steps to its trainer: remove ema',
      'the own engine leaves the steps to its trainer: remove sampling',
    ]);
    expect(messages({ engine: 'own', model })).toEqual(['the own engine brings its own model: remove model']);
    expect(messages({})).toHaveLength(1);
  });

  it('lets one activation follow the last dense layer', () => {
    expect(schema.safeParse({ model: { layers: ['dense', { activation: 'softmax' }] } }).success).toBe(true);
  });

  it.each<[Record<string, unknown>, (string | number)[], string]>([
    [{ model: { layers: [] } }, ['model', 'layers'], 'expected at least one layer'],
    [
      { model: { layers: ['dense', 'dense'] } },
      ['model', 'layers', 0],
      'only the last layer can leave its units to the data: say how many this one has',
    ],
    [
      { model: { layers: ['dense', { dropout: { rate: 0.5 } }] } },
      ['model', 'layers', 1],
      'the last layer must be dense: it gives one output for each class, or the amount',
    ],
    [
      { model: { layers: [{ activation: 'relu' }] } },
      ['model', 'layers', 0],
      'the last layer must be dense: it gives one output for each class, or the amount',
    ],
    [
      { model: { layers: [{ dense: { units: 0 } }] } },
      ['model', 'layers', 0, 'dense', 'units'],
      'Too small: expected number to be >=1',
    ],
    [
      { model: { layers: [{ dense: { units: 'many' } }] } },
      ['model', 'layers', 0, 'dense', 'units'],
      'expected a whole number of 1 or more, or auto',
    ],
    [
      { model: { layers: [{ conv: {} }] } },
      ['model', 'layers', 0, 'conv'],
      `unknown layer "conv", expected one of: ${Object.keys(layers).join(', ')}`,
    ],
    [{ model: {} }, ['model'], 'expected one of: layers, preset, onnx, keras, module'],
    [
      { model: { ...model, onnx: 'a.onnx' } },
      ['model', 'onnx'],
      'a model comes from one place: remove layers, or onnx',
    ],
    [
      { model: { ...model, freeze: ['a'] } },
      ['model', 'freeze'],
      'freeze is for models from a file (onnx, keras, module), not from layers',
    ],
    [
      { model: { preset: 'mlpp' } },
      ['model', 'preset'],
      'unknown preset "mlpp", expected one of: mlp, cnn, resnet, mobilenet, lstm, transformer, autoencoder',
    ],
    [{ engine: 'onxx' }, ['engine'], 'unknown engine "onxx", expected one of: onnx, auto'],
    [
      { optimizer: { adam: { beta1: 1 } } },
      ['optimizer', 'adam', 'beta1'],
      'Too big: expected number to be <1',
    ],
  ])('refuses %j', (change, path, message) => {
    const issues = schema.safeParse({ model, ...change }).error?.issues;
    expect(issues).toContainEqual(expect.objectContaining({ path, message }));
  });

  it('refuses an engine that cannot train by the loss', () => {
    const engines = new Map([['tfjs-node', tfjsNodeEngine as Engine]]);
    const given = { model, engine: 'tfjs-node', loss: 'triplet' };
    expect(trainOptions({ engines }).safeParse(given).error?.issues).toMatchObject([
      { path: ['loss'], message: expect.stringContaining('cannot train by triplet') as string },
    ]);
  });
});
