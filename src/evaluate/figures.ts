import type { Signature } from '../data/signature.js';

/** What is known of a figure by which models are judged. */
export interface Figure {
  readonly task: Signature['task'];
  readonly summary: string;
  readonly better: 'greater' | 'less';
  /** Shown where there is room for a few. */
  readonly brief?: true;
  /** Only for what comes after a text. */
  readonly ofText?: true;
  /** Not for rows that are given back: nothing of a target is to be told then. */
  readonly ofTarget?: true;
}

const share = { task: 'classification', better: 'greater' } as const;
const error = { task: 'regression', better: 'less' } as const;

/** Every figure of `score`, by name. */
export const figures: Readonly<Record<string, Figure>> = {
  accuracy: { ...share, brief: true, summary: 'Share of rows that get the right label.' },
  top3Accuracy: { ...share, summary: 'Share of rows whose label is among the three most probable.' },
  top5Accuracy: { ...share, summary: 'Share of rows whose label is among the five most probable.' },
  balancedAccuracy: { ...share, summary: 'Mean over the labels of the share of their rows that are found.' },
  precision: { ...share, summary: 'Share of a label’s predictions that are right, the mean over labels.' },
  recall: { ...share, summary: 'Share of a label’s rows that are found, the mean over labels.' },
  f1: { ...share, brief: true, summary: 'Harmonic mean of precision and recall, the mean over labels.' },
  weightedPrecision: { ...share, summary: 'Precision, the mean over labels weighted by their rows.' },
  weightedRecall: { ...share, summary: 'Recall, the mean over labels weighted by their rows.' },
  weightedF1: { ...share, summary: 'F1, the mean over labels weighted by their rows.' },
  rocAuc: {
    ...share,
    brief: true,
    summary:
      'Area under the receiver operating characteristic; of more than two labels the mean of each against the rest.',
  },
  logLoss: {
    ...share,
    better: 'less',
    brief: true,
    summary: 'Mean of −log(probability of the true label).',
  },
  perplexity: {
    ...share,
    ofText: true,
    better: 'less',
    brief: true,
    summary: 'Among how many characters the model seems to choose: exp(logLoss).',
  },
  bitsPerCharacter: {
    ...share,
    ofText: true,
    better: 'less',
    brief: true,
    summary: 'Bits that each character takes on average: logLoss / log 2.',
  },
  calibrationError: {
    ...share,
    better: 'less',
    summary: 'Expected distance between the confidence of predictions and the share that is right.',
  },
  mse: { ...error, brief: true, summary: 'Mean squared error.' },
  rmse: { ...error, brief: true, summary: 'Root of the mean squared error.' },
  mae: { ...error, brief: true, summary: 'Mean absolute error.' },
  medianAbsoluteError: { ...error, summary: 'Median of the absolute errors.' },
  mape: {
    ...error,
    ofTarget: true,
    summary: 'Mean absolute error as a share of the amount; none when an amount is 0.',
  },
  r2: {
    ...error,
    ofTarget: true,
    better: 'greater',
    brief: true,
    summary: 'Share of the variance that is explained.',
  },
  explainedVariance: {
    ...error,
    ofTarget: true,
    better: 'greater',
    summary: 'Share of the variance that is explained, an error that is always the same left aside.',
  },
};

/** Figures that there are for each label too: `recall.setosa`. */
const ofLabels: readonly string[] = ['precision', 'recall', 'f1'];

/** What a name with a label, or with one of several targets, looks like. */
export const labelFigurePattern = `^((${ofLabels.join('|')})\\..+|(${Object.keys(figures).join('|')}) of .+)$`;

/**
 * A figure by its name, `accuracy` or `recall.setosa`, and of one of several targets `accuracy of species`; undefined when
 * there is none of that name.
 */
export function findFigure(name: string): (Figure & { readonly label?: string }) | undefined {
  const ofOne = / of ./.exec(name);
  if (ofOne && !name.slice(0, ofOne.index).includes('.')) return findFigure(name.slice(0, ofOne.index));
  const dot = name.indexOf('.');
  if (dot < 0) return Object.hasOwn(figures, name) ? figures[name] : undefined;
  const base = name.slice(0, dot);
  const label = name.slice(dot + 1);
  return ofLabels.includes(base) && label !== '' ? { ...figures[base]!, label } : undefined;
}

/** True for figures of all rows, not of those of single labels. */
export function isOfAll(name: string): boolean {
  return findFigure(name)?.label === undefined;
}

/** True for what a line of figures should show: nothing of single labels, and of the known figures the most common. */
export function isBrief(name: string): boolean {
  const [figure = ''] = name.split(' of ');
  return Object.hasOwn(figures, figure) ? figures[figure]!.brief === true : !figure.includes('.');
}
