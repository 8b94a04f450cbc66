import type { GraphBuilder } from '../builder.js';

export type OptimizerOptions = Readonly<Record<string, number | boolean>>;

/** One parameter's part of a step: names of values in the graph. */
export interface Update {
  readonly parameter: string;
  readonly gradient: string;
  /** What the optimizer remembers of the parameter, by slot; in the parameter's shape. */
  readonly slots: Readonly<Record<string, string>>;
  /** What is fed anew each step, by the names that `scalars` gives. */
  readonly scalars: Readonly<Record<string, string>>;
}

/** Names of what a step leaves behind. */
export interface Updated {
  readonly parameter: string;
  readonly slots: Readonly<Record<string, string>>;
}

export interface Optimizer {
  readonly summary: string;
  readonly defaults: OptimizerOptions;
  /** What is remembered of each parameter, and the value that fills it before the first step. */
  slots(options: OptimizerOptions): Readonly<Record<string, number>>;
  /** Values for a step, counted from 1. They are inputs of the graph, so that it need not change with the step. */
  scalars(options: OptimizerOptions, step: number): Readonly<Record<string, number>>;
  /** Whether an element's update depends on other elements; else a weight may be updated part by part. */
  readonly looksAtWhole?: boolean;
  /** Emits the update. */
  emit(g: GraphBuilder, update: Update, options: OptimizerOptions): Updated;
}

/** Defaults of the optimizers with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101). */
export const decayDefaults = { weightDecay: 0, decayVectors: false };

/**
 * Whether weights decay towards 0. Biases and the scales of normalisation have nothing to unlearn: vectors are left
 * alone unless `decayVectors` is set.
 */
export function decays(
  g: GraphBuilder,
  parameter: string,
  { weightDecay, decayVectors }: OptimizerOptions,
): boolean {
  return Number(weightDecay) > 0 && (decayVectors === true || g.rankOf(parameter) > 1);
}

/**
 * What an update subtracts from a weight: the step, and beside it α·λ of a weight that decays. As a factor 1 − αλ a small
 * decay would be lost in rounding.
 */
export function withDecay(
  g: GraphBuilder,
  { parameter, scalars }: Update,
  step: string,
  options: OptimizerOptions,
): string {
  if (!decays(g, parameter, options)) return step;
  return g.op('Add', [step, g.op('Mul', [parameter, scalars['decay']!])]);
}

/** `old·decay + value` */
export function accumulate(g: GraphBuilder, old: string, decay: number, value: string): string {
  return g.op('Add', [g.op('Mul', [old, g.scalar(decay)]), value]);
}
