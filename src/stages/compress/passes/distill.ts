import { z } from 'zod';
import type { Dataset } from '../../../data/index.js';
import type { Model } from '../../../ir/graph.js';
import { liftConstants, removeDead } from '../../../ir/rewrite.js';
import { sizeOf } from '../../../ir/tensor.js';
import { findWeights } from '../../../ir/weights.js';
import { definePass, type Pass, type PassContext } from '../../../plugin/api.js';
import { labelOf } from './dense-layer.js';
import { teach } from './distill/teach.js';
import { fitFields, trainerOf } from './fine-tune.js';
import { pruneUnitsPass } from './prune-units.js';

/** How a student is made of what the config says, which is not the business of compression. */
export interface Students<Options = unknown> {
  /** Keys that name a way to make a model; one of them is given. */
  readonly fields: { readonly [Key in keyof Options]-?: z.ZodType<Options[Key]> };
  build(
    options: Options,
    context: { readonly dataset: Dataset; readonly seed: number } & Pick<PassContext, 'placeOf'>,
  ): Promise<{ readonly model: Model; readonly trainable: readonly string[] }>;
}

function optionsWith(fields: Record<string, z.ZodType>) {
  const ways = ['width', ...Object.keys(fields)];
  const student = z
    .strictObject({
      width: z
        .number()
        .gt(0)
        .lt(1)
        .optional()
        .describe(
          'The model itself with this share of its neurons, channels and heads: those that matter most, as pruneUnits finds them.',
        ),
      ...fields,
    })
    .check((context) => {
      const given = ways.filter((way) => (context.value as Record<string, unknown>)[way] !== undefined);
      if (given.length === 1) return;
      const message =
        given.length === 0
          ? `expected one of: ${ways.join(', ')}`
          : `a student is made in one way: remove ${given[0]}, or ${given[1]}`;
      context.issues.push({ code: 'custom', input: context.value, path: given.slice(1, 2), message });
    });
  const settings = z.strictObject({
    student: student.prefault({ width: 0.5 }).describe('The smaller model that takes the place of this one.'),
    temperature: z
      .number()
      .positive()
      .default(4)
      .describe('Divides the logits of both: the higher, the more the less likely classes count.'),
    alpha: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'How much of the loss is the distance from the teacher; the rest is the loss of the data. Default: 0.9; with unlabelled 1.',
      ),
    unlabelled: z
      .boolean()
      .default(false)
      .describe(
        'Learn from the rows whose target is missing, too, which data.missing.target: drop leaves out of all else: the model tells what they lack. Pays where few rows have a label.',
      ),
    hidden: z
      .array(
        z.strictObject({
          teacher: z.string().min(1).describe('Name of a node of the model.'),
          student: z.string().min(1).optional().describe('Name of a node of the student. Default: the same.'),
          weight: z.number().positive().default(1).describe('How much it counts beside the outputs.'),
        }),
      )
      .default([])
      .describe(
        'Layers whose outputs the student learns to give, too, through a projection that is trained with it (Romero and others, arXiv:1412.6550).',
      ),
    ...fitFields,
    epochs: z.int().min(1).default(20).describe('Passes over the rows of the train split.'),
    learningRate: fitFields.learningRate
      .unwrap()
      .default(1e-3)
      .describe('Of Adam; falls along half a cosine to 0.'),
  });
  return settings.check((context) => {
    const { unlabelled, alpha = 1 } = context.value;
    if (!unlabelled || alpha === 1) return;
    const message = 'rows without a label can be learned from the model alone: remove alpha, or set it to 1';
    context.issues.push({ code: 'custom', input: alpha, path: ['alpha'], message });
  });
}
export type DistillOptions = z.output<ReturnType<typeof optionsWith>>;

/**
 * What: trains a smaller model to give what this one gives, and hands that on.
 * Why: the outputs of a good model tell more of each row than its label does. Whether that pays is for the gates to tell.
 * Example: {distill: {student: {width: 0.5}}}, or {distill: {student: {preset: {mlp: {units: [32]}}}, epochs: 40}}.
 *
 * The loss is α·T²·KL(teacher ‖ student) of probabilities softened by T, + (1 − α) of the project's own (Hinton, Vinyals and Dean,
 * arXiv:1503.02531); α · mean squared difference for amounts. Teacher and student are one graph, of which the student alone is
 * trained: what the teacher says of a row is computed once, before the first epoch, where its operators allow it.
 */
export function createDistillPass<Described>(students: Students<Described>): Pass {
  const options = optionsWith(students.fields);
  return definePass<DistillOptions>({
    name: 'distill',
    summary: 'Train a smaller model to give what this one gives (knowledge distillation).',
    options,
    version: 1,
    async run(given, settings, context) {
      const trainer = trainerOf(context, 'distill', 'train');
      const teacher: Model = { ...given, graph: liftConstants(given.graph) };
      const { width, ...rest } = settings.student;
      const described: unknown = rest;
      const { model: student, trainable } =
        width === undefined
          ? await students.build(described as Described, { ...context, dataset: trainer.dataset })
          : await narrow(teacher, width, context);
      if (student === teacher) {
        const skipped = [{ node: 'model', reason: 'it has no units that can be taken out' }];
        return { model: given, report: { changed: false, skipped } };
      }
      const { unlabelled, alpha = unlabelled ? 1 : 0.9 } = settings;
      const lesson = teach(teacher, student, { ...settings, alpha }, context.placeOf);
      const fitted = await trainer.fit({
        model: lesson.model,
        trainable: [...trainable, ...lesson.projections],
        objective: { value: lesson.loss, share: 1 - alpha },
        unlabelled,
        epochs: settings.epochs,
        learningRate: settings.learningRate,
        batchSize: settings.batchSize,
      });
      const [before, after] = [countWeights(teacher), countWeights(fitted)];
      const note = `of a student with ${after} weights, for ${before}`;
      const learned = new Set(trainable);
      const layers = fitted.graph.nodes.filter(({ inputs }) => inputs.some((name) => learned.has(name)));
      const model = { ...given, opsets: lesson.model.opsets, graph: removeDead(fitted.graph) };
      const applied = layers.map((node) => ({ node: labelOf(node), note }));
      return { model, report: { changed: true, applied, skipped: [] } };
    },
  });
}

async function narrow(
  teacher: Model,
  width: number,
  context: PassContext,
): Promise<{ model: Model; trainable: readonly string[] }> {
  const options = pruneUnitsPass.options.parse({ ratio: 1 - width });
  const { model, report } = await pruneUnitsPass.run(teacher, options, context);
  return { model: report.changed ? model : teacher, trainable: findWeights(model.graph) };
}

function countWeights({ graph }: Model): number {
  return findWeights(graph).reduce((sum, name) => sum + sizeOf(graph.initializers.get(name)!.dims), 0);
}
