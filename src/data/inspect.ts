import type { Column, Columns } from './columns.js';
import type { SplitRows } from './split.js';
import type { Target } from './target.js';

/** Below this many rows, a column may well match the target by chance. */
export const leastRows = 20;
/** A class with less than this share of the largest class's rows is rare. */
const rare = 0.1;
const maxLines = 5;

/**
 * Looks for what makes a model worse, or its figures better than they are: columns that say nothing, columns that give
 * the answer away, rows that were trained on under another guise, classes with few rows. Each is a note; none is wrong
 * for sure.
 * @param lines Line of each row in the source.
 * @param arrays Digests of features that are arrays.
 * @param others Further targets.
 * @param isProse Whether a column holds texts of words, of which each may be new.
 */
export function inspectData(
  { features }: Columns,
  target: Target,
  splits: SplitRows,
  lines: readonly number[],
  arrays: readonly Column[] = [],
  others: readonly Target[] = [],
  isProse: (name: string) => boolean = () => false,
): string[] {
  const names = (columns: readonly Column[]): string[] => columns.map(({ name }) => name);
  const isLong = lines.length >= leastRows;
  const copiesOf = (goal: Target) => (isLong ? names(features.filter((column) => isCopy(column, goal))) : []);
  const found = noteFindings({
    constant: names(features.filter((column) => new Set<number | string>(column.values).size === 1)),
    target: target.name,
    copies: copiesOf(target),
    unseen: findUnseen(
      features.filter(({ name }) => !isProse(name)),
      splits,
    ),
    repeats: findRepeats([...features, ...arrays], splits, lines),
    share: 1,
    classes: target.task === 'classification' ? countClasses(target) : [],
  });
  const further = others.flatMap((goal) => [
    ...noteCopies(goal.name, copiesOf(goal)),
    ...(goal.task === 'classification' ? noteUnlearnt(goal, splits) : []),
  ]);
  return [...found, ...further];
}

/** Rows are divided by the classes of the first target: of another, a split may lack some. */
function noteUnlearnt(
  { name, labels, classes }: Target & { readonly task: 'classification' },
  { train }: SplitRows,
): string[] {
  const learnt = new Set(train.map((row) => classes[row]));
  const lacking = labels.filter((_, index) => !learnt.has(index)).map((label) => JSON.stringify(label));
  if (lacking.length === 0) return [];
  const shown = lacking.length > maxLines ? [...lacking.slice(0, maxLines), '…'] : lacking;
  return [`the target "${name}" has classes that no training row has: ${shown.join(', ')}`];
}

/** What was found, however the data was gone through. */
export interface Findings {
  /** Columns with one value. */
  readonly constant: readonly string[];
  /** The target's name, and columns that give it away. */
  readonly target: string;
  readonly copies: readonly string[];
  /** Columns with texts that no training row has. */
  readonly unseen: readonly { readonly name: string; readonly texts: readonly string[] }[];
  /** Lines of held-out rows with the features of a training row, among one row in `share`. */
  readonly repeats: readonly number[];
  readonly share: number;
  /** Rows of each class. */
  readonly classes: readonly { readonly label: string; readonly rows: number }[];
}

export function noteFindings(found: Findings): string[] {
  return [
    ...found.constant.map(
      (name) => `column "${name}" has the same value in every row: it can be listed under data.exclude`,
    ),
    ...noteCopies(found.target, found.copies),
    ...found.unseen.flatMap(({ name, texts }) => noteUnseen(name, texts)),
    ...noteRepeats(found.repeats, found.share),
    ...noteRare(found.classes),
  ];
}

function noteCopies(target: string, copies: readonly string[]): string[] {
  return copies.map(
    (name) =>
      `column "${name}" gives the target "${target}" away in every row: ` +
      `list it under data.exclude, unless it is known when the model is asked`,
  );
}

function findUnseen(features: readonly Column[], { train, validation, test }: SplitRows): Findings['unseen'] {
  return features.flatMap((column) => {
    if (column.type === 'number') return [];
    const { name, values, written } = column;
    const seen = new Set([...written, ...train.map((row) => values[row]!)]);
    const texts = new Set(
      [...validation, ...test].map((row) => values[row]!).filter((text) => !seen.has(text)),
    );
    return [{ name, texts: [...texts].sort() }];
  });
}

function noteUnseen(name: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  const shown = texts
    .slice(0, maxLines)
    .map((text) => JSON.stringify(text))
    .join(', ');
  const more = texts.length > maxLines ? ', …' : '';
  return [`column "${name}" has texts in held-out rows that no training row has: ${shown}${more}`];
}

/** Whether each value of the column stands for one class and the other way round, or is the amount up to scale. */
function isCopy(column: Column, target: Target): boolean {
  if (target.task === 'regression') {
    return column.type === 'number' && Math.abs(correlation(column.values, target.values)) > 1 - 1e-9;
  }
  const classOf = new Map<number | string, number>();
  for (const [row, value] of column.values.entries()) {
    const known = classOf.get(value);
    if (known === undefined) classOf.set(value, target.classes[row]!);
    else if (known !== target.classes[row]) return false;
    if (classOf.size > target.labels.length) return false;
  }
  return new Set(classOf.values()).size === classOf.size;
}

/** Pearson's r; NaN where a value is missing or nothing varies. */
function correlation(a: Float64Array, b: Float64Array): number {
  const meanOf = (values: Float64Array): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [meanOf(a), meanOf(b)];
  let [both, squaresA, squaresB] = [0, 0, 0];
  for (let row = 0; row < a.length; row++) {
    const [x, y] = [a[row]! - meanA, b[row]! - meanB];
    both += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  return both / Math.sqrt(squaresA * squaresB);
}

/** Copies of whole rows stay in one split; these are alike in the features alone. */
function findRepeats(features: readonly Column[], splits: SplitRows, lines: readonly number[]): number[] {
  const keyOf = (row: number): string => JSON.stringify(features.map((column) => column.values[row]));
  const trained = new Set(splits.train.map(keyOf));
  const repeats = [...splits.validation, ...splits.test].filter((row) => trained.has(keyOf(row)));
  return repeats.map((row) => lines[row]!);
}

function noteRepeats(repeats: readonly number[], share: number): string[] {
  if (repeats.length === 0) return [];
  const found = repeats.toSorted((a, b) => a - b);
  const shown = `${found.slice(0, maxLines).join(', ')}${found.length > maxLines ? ', …' : ''}`;
  const [rows, have] =
    found.length === 1 ? ['1 held-out row', 'has'] : [`${found.length} held-out rows`, 'have'];
  return [
    `${rows} ${have} the same features as a training row (${found.length === 1 ? 'line' : 'lines'} ${shown})` +
      (share === 1 ? '' : `; one row in ${share} was looked at`),
  ];
}

function countClasses(target: Target & { readonly task: 'classification' }): Findings['classes'] {
  const counts = target.labels.map(() => 0);
  for (const index of target.classes) counts[index]! += 1;
  return target.labels.map((label, index) => ({ label, rows: counts[index]! }));
}

function noteRare(classes: Findings['classes']): string[] {
  const most = classes.reduce((found, { rows }) => Math.max(found, rows), 0);
  const few = classes.flatMap(({ label, rows }) => (rows < rare * most ? [`"${label}" (${rows})`] : []));
  if (few.length === 0) return [];
  const shown = few.length > maxLines ? [...few.slice(0, maxLines), '…'] : few;
  return [
    `classes with few rows: ${shown.join(', ')}, the largest has ${most}; look at recall, not at accuracy alone`,
  ];
}
