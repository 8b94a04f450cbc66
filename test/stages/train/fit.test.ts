import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../../src/data/index.js';
import type { Project } from '../../../src/plugin/api.js';
import { trainOptions } from '../../../src/stages/train/config.js';
import { onnxEngine } from '../../../src/stages/train/index.js';
import { resolveFit } from '../../../src/stages/train/resolve-fit.js';

const schema = trainOptions({ engines: new Map([['onnx', onnxEngine]]) });
const model = { layers: ['dense'] };
const project: Project = { name: 'p', seed: 1, root: '/', configFile: '/maas.config.yaml', config: {} };

/** Nine rows of `often` and three of `seldom`, or amounts. */
function data(task: 'classification' | 'regression'): Dataset {
  const indices = Array.from({ length: 12 }, (_, row) => BigInt(row < 9 ? 0 : 1));
  const target = { dtype: 'int64' as const, dims: [12], data: BigInt64Array.from(indices) };
  const table = { rows: 12, lines: new Uint32Array(12), inputs: {}, target };
  const labels = task === 'classification' ? { labels: ['often', 'seldom'] } : {};
  return {
    digest: '',
    statistics: {},
    splits: { train: table, validation: table, test: table },
    signature: {
      schemaVersion: 1,
      name: 'made',
      task,
      features: [],
      inputs: [],
      outputs: [],
      target: { name: 'y', ...labels },
      data: { digest: '' },
    },
  };
}

const resolve = (section: object, task: 'classification' | 'regression' = 'classification') =>
  resolveFit(schema.parse({ model, ...section }), data(task), project);

describe('how weights are fitted', () => {
  it('is adam and the loss of the target, and nothing else', () => {
    expect(resolve({ epochs: 5 })).toEqual({
      optimizer: { name: 'adam', learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      loss: { name: 'sparseCategoricalCrossentropy' },
      metrics: ['accuracy'],
    });
    expect(resolve({}, 'regression').loss).toEqual({ name: 'meanSquaredError' });
  });

  it('takes everything from the config', () => {
    const section = {
      optimizer: { adamw: { learningRate: 0.01, weightDecay: 0.1 } },
      loss: { sparseCategoricalCrossentropy: { labelSmoothing: 0.1 } },
      schedule: { cosine: { warmup: 2 } },
      clipNorm: 1,
      clipValue: 0.5,
      earlyStopping: { patience: 5 },
    };
    expect(resolve(section)).toEqual({
      optimizer: {
        ...{ name: 'adamw', learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
        ...{ weightDecay: 0.1, decayVectors: false },
      },
      loss: { name: 'sparseCategoricalCrossentropy', labelSmoothing: 0.1 },
      schedule: { name: 'cosine', warmup: 2, floor: 0 },
      clip: { norm: 1, value: 0.5 },
      earlyStopping: {
        ...{ patience: 5, monitor: 'validationLoss', mode: 'auto', minDelta: 0 },
        ...{ startFromEpoch: 0, restoreBestWeights: true },
      },
      metrics: ['accuracy'],
    });
  });

  it('measures what is watched, and what is asked for, once each', () => {
    const section = {
      metrics: ['f1', 'recall.seldom'],
      earlyStopping: { monitor: 'validationRecall.seldom' },
      schedule: { reduceOnPlateau: { monitor: 'validationRocAuc' } },
      gates: { 'recall.seldom': { min: 0.5 } },
    };
    expect(resolve(section).metrics).toEqual(['accuracy', 'f1', 'recall.seldom', 'rocAuc']);
  });

  it.each<[unknown, number[]]>([
    ['balanced', [12 / (2 * 9), 2]],
    [{ seldom: 3 }, [1, 3]],
  ])('turns class weights %j into a list by index', (classWeights, expected) => {
    const { loss } = resolve({ loss: { sparseCategoricalCrossentropy: { classWeights } } });
    expect(loss['classWeights']).toEqual(expected);
  });

  it.each<[string, object, 'classification' | 'regression', string]>([
    [
      'a weight for a class that is not there',
      { loss: { categoricalCrossentropy: { classWeights: { never: 2 } } } },
      'classification',
      'The classes are: often, seldom.',
    ],
    ['a loss for amounts', { loss: 'huber' }, 'classification', 'Choose sparseCategoricalCrossentropy'],
    ['a loss for classes', { loss: 'hinge' }, 'regression', 'Choose meanSquaredError'],
    [
      'the accuracy of amounts, to stop by',
      { earlyStopping: { monitor: 'validationAccuracy' } },
      'regression',
      'The figures are: mse, rmse,',
    ],
    [
      'the accuracy of amounts, to follow',
      { schedule: { reduceOnPlateau: { monitor: 'validationAccuracy' } } },
      'regression',
      'The figures are: mse, rmse,',
    ],
    [
      'balance where there are no classes',
      { sampling: 'balanced' },
      'regression',
      'Leave train.sampling out.',
    ],
    ['a label that is not there', { metrics: ['recall.offten'] }, 'classification', 'Did you mean "often"?'],
  ])('refuses %s', (_, section, task, hint) => {
    expect(() => resolve(section, task)).toThrow(
      expect.objectContaining({ code: 'MAAS_CONFIG_INVALID', hint: expect.stringContaining(hint) as string }),
    );
  });

  it.each<[object, (string | number)[]]>([
    [{ clipNorm: 0 }, ['clipNorm']],
    [{ metrics: ['acuracy'] }, ['metrics', 0]],
    [{ earlyStopping: { monitor: 'validationRecall' + '.' } }, ['earlyStopping', 'monitor']],
    [{ earlyStopping: { monitor: 'accuracy' } }, ['earlyStopping', 'monitor']],
    [{ gates: { acuracy: { min: 1 } } }, ['gates']],
    [{ earlyStopping: { patience: 0 } }, ['earlyStopping', 'patience']],
    [{ schedule: { cosine: { floor: 2 } } }, ['schedule', 'cosine', 'floor']],
    [{ loss: { mse: { classWeights: 'balanced' } } }, ['loss', 'mse']],
    [{ loss: { huber: { delta: 0 } } }, ['loss', 'huber', 'delta']],
    [
      { optimizer: { adamw: { excludeFromWeightDecay: [] } } },
      ['optimizer', 'adamw', 'excludeFromWeightDecay'],
    ],
    [
      { optimizer: { lamb: { excludeFromWeightDecay: ['*'] } } },
      ['optimizer', 'lamb', 'excludeFromWeightDecay'],
    ],
    [{ optimizer: { adam: { excludeFromWeightDecay: ['*'] } } }, ['optimizer', 'adam']],
  ])('the config refuses %j', (section, path) => {
    const issues = schema.safeParse({ model, ...section }).error?.issues;
    expect(issues).toContainEqual(expect.objectContaining({ path }));
  });
});
