import { z } from 'zod';
import type { GraphBuilder } from '../../ir/builder.js';
import { tensor } from '../../ir/tensor.js';
import type { Fitted, Site, Transform } from './transform.js';

/** (value − offset) / scale; with `log`, value is log(max(value, floor) + shift) first. */
export interface Scaling {
  readonly offset: number;
  readonly scale: number;
  readonly log?: {
    /** Least value of the train split: what lies below is taken for it. */
    readonly floor: number;
    readonly shift: number;
  };
}

/** A column that varies less than float32 can tell, as a share of its mean, is constant. */
const leastVariation = 1e-6;

const noOptions = z.strictObject({});

/** Mean 0 and deviation 1 over the train split. */
export const normalization: Transform<number, object, Scaling> = {
  summary: 'mean 0 and deviation 1 over the train split',
  options: noOptions,
  takes: 'number',
  fit: (values) => standardize(values),
  emit: emitScaling,
};

/** The range of the train split becomes 0 to 1. */
export const minMax: Transform<number, object, Scaling> = {
  summary: 'the range of the train split becomes 0 to 1; what lies outside of it lies outside of 0 to 1',
  options: noOptions,
  takes: 'number',
  fit(values) {
    let [min, max] = [Infinity, -Infinity];
    for (const value of values) {
      if (value < min) min = value;
      if (value > max) max = value;
    }
    const range = max - min;
    return { offset: min, scale: range > Math.abs(min) * leastVariation ? range : 1 };
  },
  emit: emitScaling,
};

const rescalingOptions = z.strictObject({
  scale: z
    .number()
    .refine((value) => value !== 0, 'a scale of 0 makes all values the same')
    .default(1)
    .describe('Factor.'),
  offset: z.number().default(0).describe('Added after the factor.'),
});

/** value · scale + offset, whatever the data holds. */
export const rescaling: Transform<number, z.output<typeof rescalingOptions>, Scaling> = {
  summary: 'value · scale + offset; without options the value as it is',
  options: rescalingOptions,
  takes: 'number',
  fit: (_, { scale, offset }) => ({ offset: -offset / scale, scale: 1 / scale }),
  emit: emitScaling,
};

/** Logarithm, for values that span orders of magnitude, and then mean 0 and deviation 1. */
export const log = logarithm(0, 'log(value), then mean 0 and deviation 1: for amounts above 0', 'log1p');
export const log1p = logarithm(1, 'log(1 + value), then mean 0 and deviation 1: for amounts and counts');

function logarithm(shift: number, summary: string, other?: string): Transform<number, object, Scaling> {
  return {
    summary,
    options: noOptions,
    takes: 'number',
    refuse(value) {
      if (value + shift > 0) return undefined;
      return `is ${value}, and ${shift === 0 ? 'log' : 'log1p'} takes numbers above ${-shift}${other === undefined ? '' : ` (${other} takes 0 too)`}`;
    },
    fit(values) {
      let floor = Infinity;
      for (const value of values) if (value < floor) floor = value;
      const logs: Iterable<number> = {
        *[Symbol.iterator]() {
          for (const value of values) yield Math.log(value + shift);
        },
      };
      return { ...standardize(logs), log: { floor, shift } };
    },
    emit: emitScaling,
  };
}

/** Two passes in double precision; population deviation. */
function standardize(values: Iterable<number>): Scaling {
  let [sum, rows] = [0, 0];
  for (const value of values) {
    sum += value;
    rows += 1;
  }
  const mean = sum / rows;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  const deviation = Math.sqrt(squares / rows);
  return { offset: mean, scale: deviation > Math.abs(mean) * leastVariation ? deviation : 1 };
}

/** All columns at once: what a transform does not need of it leaves its columns as they are. */
function emitScaling({ g }: Site, x: string, columns: readonly Fitted<Scaling>[]): string {
  const facts = columns.map((column) => column.facts);
  const row = (values: readonly number[], stem: string) =>
    g.constant(tensor('float32', [values.length], values), stem);
  const centred = g.op('Sub', [
    emitLogarithms(g, x, facts),
    row(
      facts.map(({ offset }) => offset),
      'offset',
    ),
  ]);
  return g.op('Div', [
    centred,
    row(
      facts.map(({ scale }) => scale),
      'scale',
    ),
  ]);
}

function emitLogarithms(g: GraphBuilder, x: string, facts: readonly Scaling[]): string {
  if (facts.every(({ log }) => log === undefined)) return x;
  const dims = [facts.length];
  const row = (valueOf: (log: NonNullable<Scaling['log']>) => number, otherwise: number) =>
    g.constant(
      tensor(
        'float32',
        dims,
        facts.map(({ log }) => (log ? valueOf(log) : otherwise)),
      ),
      'log',
    );
  // Where, and not Max: NaN stays NaN and shows in the answer.
  const floor = row(({ floor }) => floor, -Infinity);
  const raised = g.op('Where', [g.op('Less', [x, floor]), floor, x]);
  const shifted = g.op('Add', [raised, row(({ shift }) => shift, 0)]);
  if (facts.every(({ log }) => log)) return g.op('Log', [shifted]);
  const chosen = tensor(
    'bool',
    dims,
    Uint8Array.from(facts, ({ log }) => (log ? 1 : 0)),
  );
  return g.op('Where', [g.constant(chosen, 'is_log'), g.op('Log', [shifted]), x]);
}
