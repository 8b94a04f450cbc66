import { MaasError, type Place } from '../../../../errors.js';
import { GraphBuilder } from '../../../../ir/builder.js';
import { attr, type Model } from '../../../../ir/graph.js';
import { logitsOf, safeLog } from '../../../../ir/losses/classes.js';
import { removeDead, renameReads } from '../../../../ir/rewrite.js';
import { tensor } from '../../../../ir/tensor.js';
import type { PassContext } from '../../../../plugin/api.js';
import { didYouMean } from '../../../../suggest.js';
import { labelOf } from '../dense-layer.js';

export interface Lesson {
  /** The student with the teacher beside it. */
  readonly model: Model;
  /** Scalar: how far the student is from the teacher. */
  readonly loss: string;
  /** Initializers that are trained beside the student. */
  readonly projections: readonly string[];
}

export interface LessonOptions {
  readonly temperature: number;
  readonly alpha: number;
  readonly hidden: readonly {
    readonly teacher: string;
    readonly student?: string | undefined;
    readonly weight: number;
  }[];
}

/** Outputs that a student learns from: probabilities [N, classes] or amounts [N] or [N, 1]. */
const outputs = ['probabilities', 'prediction'];

/**
 * Puts a teacher beside its student, both of the same inputs, and what is between them as a value of the graph.
 * @throws MaasError MAAS_USAGE for a layer that is not there, MAAS_MODEL_SHAPE for one that does not fit, or when the models give
 * nothing to compare, MAAS_MODEL_UNSUPPORTED when they are of different operator sets.
 */
export function teach(
  teacher: Model,
  student: Model,
  { temperature, alpha, hidden }: LessonOptions,
  placeOf?: PassContext['placeOf'],
): Lesson {
  const [one, other] = [teacher.opsets[''] ?? 0, student.opsets[''] ?? 0];
  if (one !== other)
    throw new MaasError(
      'MAAS_MODEL_UNSUPPORTED',
      `the model is of operator set ${one}, the student of ${other}`,
    );
  const g = new GraphBuilder(student.graph);
  const learned = hidden.map((pair, at) => ({
    weight: pair.weight,
    teacher: findOutput(teacher, pair.teacher, 'model', placeOf?.(['hidden', at, 'teacher'])),
    student: findOutput(
      student,
      pair.student ?? pair.teacher,
      'student',
      placeOf?.(['hidden', at, 'student']),
    ),
  }));
  const output = outputs.find((name) =>
    [teacher, student].every(({ graph }) => graph.outputs.some((value) => value.name === name)),
  );
  const isOfOne = (name: string): boolean => outputs.some((each) => name.endsWith(`.${each}`));
  if (output === undefined && teacher.graph.outputs.some(({ name }) => isOfOne(name))) {
    throw new MaasError('MAAS_CONFIG_INVALID', 'distill does not know of several targets yet', {
      place: placeOf?.([]),
      hint: 'Choose passes that only rewrite the model, such as quantize, or name one column under data.target.',
    });
  }
  if (output === undefined)
    throw new MaasError('MAAS_MODEL_SHAPE', `model and student share no output of ${outputs.join(' or ')}`);
  const taught = addTeacher(g, teacher, [output, ...learned.map((pair) => pair.teacher)]);
  const parts = [scaled(g, distance(g, taught(output), output, temperature), alpha)];
  const projections: string[] = [];
  for (const { weight, teacher: from, student: to } of learned) {
    const made = project(g, to, taught(from));
    if (made.projection !== undefined) projections.push(made.projection);
    parts.push(scaled(g, squares(g, made.value, taught(from)), weight));
  }
  const loss = parts.reduce((sum, part) => g.op('Add', [sum, part]));
  const model = { ...student, opsets: { ...teacher.opsets, ...student.opsets }, graph: g.build() };
  return { model, loss, projections };
}

function findOutput({ graph }: Model, label: string, what: string, place?: Place): string {
  const node = graph.nodes.find((each) => labelOf(each) === label);
  if (node) return node.outputs[0]!;
  const names = graph.nodes.map(labelOf);
  throw new MaasError(
    'MAAS_USAGE',
    `the ${what} has no node ${label}, whose output distill.hidden asks for`,
    {
      place,
      hint:
        didYouMean(label, names) ??
        `Its nodes are: ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', …' : ''}.`,
    },
  );
}

/** Adds the nodes of the teacher under names of their own. Returns what a value of it is called. */
function addTeacher(g: GraphBuilder, { graph }: Model, wanted: readonly string[]): (name: string) => string {
  const needed = removeDead({ ...graph, outputs: wanted.map((name) => ({ name })) });
  const inputs = new Set(needed.inputs.map(({ name }) => name));
  const written = needed.nodes.flatMap((node) => node.outputs).filter((name) => name !== '');
  const names = new Map<string, string>();
  for (const name of [...needed.initializers.keys(), ...written])
    names.set(name, g.unique(`teacher_${name}`));
  for (const [name, constant] of needed.initializers) {
    if (!inputs.has(name)) g.initializer(names.get(name)!, constant);
  }
  for (const node of renameReads(needed, names).nodes) {
    const renamed = node.outputs.map((name) => names.get(name) ?? name);
    g.add({ ...node, name: g.unique(`teacher_${node.name}`), outputs: renamed });
  }
  return (name) => names.get(name) ?? name;
}

/** Kullback–Leibler divergence of softened probabilities, or the mean squared difference of amounts. */
function distance(g: GraphBuilder, teacher: string, student: string, temperature: number): string {
  if (student !== 'probabilities') return squares(g, student, teacher);
  const softened = (name: string): string => {
    // The logarithm of a probability is a logit as good as any.
    const logits = logitsOf(g, name, 'Softmax') ?? safeLog(g, name);
    return g.op('LogSoftmax', [g.op('Mul', [logits, g.scalar(1 / temperature)])], { axis: attr.int(-1) });
  };
  const [truth, guess] = [softened(teacher), softened(student)];
  const terms = g.op('Mul', [g.op('Exp', [truth]), g.op('Sub', [truth, guess])]);
  const rows = g.op('ReduceSum', [terms, g.int64s([-1])], { keepdims: attr.int(0) });
  // Gradients of softened logits are smaller by T².
  return scaled(g, mean(g, rows), temperature ** 2);
}

function squares(g: GraphBuilder, one: string, other: string): string {
  const gap = g.op('Sub', [one, other]);
  return mean(g, g.op('Mul', [gap, gap]));
}

const mean = (g: GraphBuilder, value: string): string =>
  g.op('ReduceMean', [value], { keepdims: attr.int(0) });

const scaled = (g: GraphBuilder, value: string, factor: number): string =>
  g.op('Mul', [value, g.scalar(factor)]);

/**
 * A student's layer with as many channels as the teacher's: those of images are the second axis, all others the last. Each
 * channel begins as one of the student's.
 */
function project(g: GraphBuilder, student: string, teacher: string): { value: string; projection?: string } {
  const [from, to] = [g.typeOf(student)?.shape, g.typeOf(teacher)?.shape];
  const axis = to?.length === 4 ? 1 : (to?.length ?? 0) - 1;
  const [have, want] = [from?.[axis], to?.[axis]];
  const others = (shape: typeof from) => String(shape?.filter((_, at) => at !== axis && at > 0));
  if (
    to === undefined ||
    from?.length !== to.length ||
    to.length < 2 ||
    typeof have !== 'number' ||
    typeof want !== 'number' ||
    others(from) !== others(to)
  ) {
    const show = (shape: typeof from) => (shape ? `[${shape.join(', ')}]` : 'of an unknown shape');
    throw new MaasError(
      'MAAS_MODEL_SHAPE',
      `distill.hidden: the student's ${student} is ${show(from)}, the model's ${show(to)}: they may differ in their channels only`,
    );
  }
  if (have === want) return { value: student };
  const picks = new Float32Array(have * want);
  const isImage = axis === 1 && to.length === 4;
  for (let channel = 0; channel < want; channel++) {
    const pick = channel % have;
    picks[isImage ? channel * have + pick : pick * want + channel] = 1;
  }
  const dims = isImage ? [want, have, 1, 1] : [have, want];
  const projection = g.constant(tensor('float32', dims, picks), 'projection');
  return { value: g.op(isImage ? 'Conv' : 'MatMul', [student, projection]), projection };
}
