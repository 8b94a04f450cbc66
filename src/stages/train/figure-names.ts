import { z } from 'zod';
import { figureOf, headsOf, onlyHead, readFigure, type Signature } from '../../data/index.js';
import { figures, findFigure, labelFigurePattern, type Figure } from '../../evaluate/figures.js';
import { didYouMean } from '../../suggest.js';

/** The name of a figure: `accuracy`, `recall.setosa`. */
export const figureName = z
  .string()
  .check((context) => {
    if (findFigure(context.value) !== undefined) return;
    const message = `there is no figure "${context.value}"`;
    const params = { unknown: context.value, known: Object.keys(figures) };
    context.issues.push({ code: 'custom', input: context.value, path: [], message, params });
  })
  .meta({ anyOf: [{ enum: Object.keys(figures) }, { pattern: labelFigurePattern }] });

/** Why a model with this signature cannot have the figure, if it cannot. */
export function explainMisfit(
  name: string,
  signature: Signature,
): { readonly message: string; readonly hint: string } | undefined {
  if (signature.others) {
    const read = readFigure(name, signature);
    if (read) return explainMisfit(read.figure, onlyHead(signature, read.head));
    const figure = name.split(' of ')[0]!;
    const heads = headsOf(signature);
    const able = heads.filter((head) => explainMisfit(figure, onlyHead(signature, head)) === undefined);
    const names = (able.length > 0 ? able : heads).map((head) => figureOf(figure, head.name));
    return {
      message: `${name}: the model has several targets`,
      hint: didYouMean(name, names) ?? `Say of which: ${names.join(', ')}.`,
    };
  }
  const {
    task,
    target: { labels = [] },
    generates,
    reconstructs,
  } = signature;
  const figure = findFigure(name);
  if (figure && figure.label === undefined && !Object.hasOwn(figures, name)) {
    const [plain] = name.split(' of ') as [string];
    return { message: `${name}: the model has one target`, hint: `Write ${plain}.` };
  }
  const isOfText = generates !== undefined;
  const fits = (each: Figure): boolean =>
    each.task === task && (!each.ofText || isOfText) && !(each.ofTarget && reconstructs);
  if (!figure || !fits(figure)) {
    const known = Object.entries(figures)
      .filter(([, each]) => fits(each))
      .map(([each]) => each);
    return {
      message: `there is no ${name} of ${reconstructs ? 'rows' : task === 'regression' ? 'amounts' : 'classes'}`,
      hint: `The figures are: ${known.join(', ')}.`,
    };
  }
  const { label } = figure;
  if (label === undefined || labels.includes(label)) return undefined;
  return {
    message: `${name}: the data has no label "${label}"`,
    hint: didYouMean(label, labels) ?? `The labels are: ${labels.slice(0, 20).join(', ')}.`,
  };
}
