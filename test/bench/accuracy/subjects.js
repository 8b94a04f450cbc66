/**
 * What `npm run bench:accuracy` trains. `hidden` are the outputs of the hidden layers, `filters` those of 3 × 3 convolutions,
 * `lstm` and `embedding` those of a model that says the next character of running text at every step.
 */
const common = { hidden: [64, 64], epochs: 60, batchSize: 32, learningRate: 0.003, metric: 'accuracy' };

export const subjects = {
  digits: { ...common, source: 'digits.csv', target: 'digit' },
  'digits-cnn': {
    ...common,
    ...{ source: 'digits.csv', target: 'digit' },
    ...{ shape: [1, 8, 8], filters: [16, 32], hidden: [64], epochs: 30 },
  },
  iris: { ...common, source: 'iris.csv', target: 'species' },
  wine: { ...common, source: 'wine.csv', target: 'cultivar' },
  'breast-cancer': { ...common, source: 'breast-cancer.csv', target: 'diagnosis', epochs: 30 },
  diabetes: {
    ...common,
    ...{ source: 'diabetes.csv', target: 'progression', metric: 'r2', hidden: [16] },
    ...{ epochs: 10, learningRate: 0.01 },
  },
  penguins: { ...common, source: 'penguins.csv', target: 'species', given: true, epochs: 30 },
  'penguins-mass': {
    ...common,
    ...{
      source: 'penguins.csv',
      target: 'body_mass_g',
      given: true,
      metric: 'r2',
      missing: { target: 'drop' },
    },
  },
  titanic: {
    ...common,
    ...{ source: 'titanic.csv', target: 'survived', given: true, hidden: [16], epochs: 30 },
    exclude: ['alive', 'class', 'embark_town', 'who', 'adult_male', 'alone', 'deck'],
  },
  intents: {
    ...common,
    ...{ source: 'intents.csv', target: 'intent', given: true, types: { text: 'text' } },
    ...{ hidden: [32], epochs: 10 },
  },
  shakespeare: {
    ...common,
    ...{ source: 'tinyshakespeare.txt', target: 'next', given: true, context: 64, lstm: 128, embedding: 64 },
    ...{ metric: 'bitsPerCharacter', epochs: 4, learningRate: 0.005 },
  },
};

/** Data of the config. */
export const dataOf = ({ source, target, exclude, metric, context, types, missing }) => ({
  source,
  target,
  ...(exclude && { exclude }),
  ...(missing && { missing }),
  ...(context && { text: { context } }),
  ...(metric === 'accuracy' && { types: { [target]: 'category', ...types } }),
  split: { train: 0.7, validation: 0.1, test: 0.2 },
});

/** The model of the config: a preset. */
export const presetOf = ({ hidden: units, filters, shape, lstm, embedding }) =>
  lstm
    ? { lstm: { units: [lstm], embedding } }
    : filters
      ? { cnn: { shape, filters, units } }
      : { mlp: { units } };
