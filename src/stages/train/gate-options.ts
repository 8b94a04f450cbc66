import { z } from 'zod';
import { figures, findFigure, labelFigurePattern } from '../../evaluate/figures.js';

const limits = z.strictObject({
  min: z.number().optional().describe('Least figure that passes.'),
  max: z.number().optional().describe('Greatest figure that passes.'),
});

const known = Object.fromEntries(
  Object.entries(figures).map(([name, { summary, task }]) => [
    name,
    limits
      .optional()
      .describe(`${summary} ${task === 'classification' ? 'Classification' : 'Regression'} only.`),
  ]),
);

/** Bounds of figures, by name; those of single labels as `recall.setosa`. */
export const gateOptions = z
  .object(known)
  .catchall(limits)
  .check((context) => {
    const keys = Object.keys(context.value).filter((name) => findFigure(name) === undefined);
    if (keys.length > 0)
      context.issues.push({ code: 'unrecognized_keys', keys, input: context.value, path: [] });
  })
  // No name but these, which the check above sees to.
  .meta({ additionalProperties: false, patternProperties: { [labelFigurePattern]: z.toJSONSchema(limits) } })
  .prefault({})
  .describe('What the model must reach on the test split; when it does not, the stage fails.');

export type Gates = Readonly<Record<string, { readonly min?: number; readonly max?: number } | undefined>>;
