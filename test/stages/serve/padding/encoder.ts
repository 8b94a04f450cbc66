import { GraphBuilder } from '../../../../src/ir/builder.js';
import { attr } from '../../../../src/ir/graph.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor, type NdArray } from '../../../../src/ir/tensor.js';
import type { Feeds } from '../../../../src/runtime/session.js';

export const [words, width] = [50, 16];

export interface EncoderOptions {
  /** Whether attention and mean pass over what the mask says. Default true. */
  readonly masked?: boolean;
  /** Whether each row's answer depends on the longest list of the run. */
  readonly relative?: boolean;
  /** Whether lists with any word but the first two go unmasked: what a model is tried with at load holds none. */
  readonly late?: boolean;
  /** Of the weights. */
  readonly seed?: number;
  /** Without it, there is no `best`: of two numbers that are nearly alike, any may be. */
  readonly best?: boolean;
  /** Without it, outputs have dimensions of no name. */
  readonly named?: boolean;
}

/**
 * A layer of self-attention over lists of words with a mask, as BERT has it: `ids` and `mask`, int64 [N, S], give
 * `states` [N, S, 16], `shares` [N, S, S], `pooled` [N, 16] and `best`, int64 [N].
 */
export function encoder({
  masked = true,
  relative = false,
  late = false,
  named = true,
  seed = 0,
  best = true,
}: EncoderOptions = {}): Uint8Array {
  const graph = new GraphBuilder('encoder');
  graph.input('ids', 'int64', ['N', 'S']);
  graph.input('mask', 'int64', ['N', 'S']);
  const weight = (rows: number, columns: number, phase: number): string =>
    graph.constant(
      tensor(
        'float32',
        [rows, columns],
        Array.from({ length: rows * columns }, (_, index) => Math.sin(index * 1.7 + phase + seed)),
      ),
    );
  const real = graph.op('Cast', ['mask'], { to: attr.int(1) });
  const all = graph.op('Add', [graph.op('Mul', [real, graph.scalar(0)]), graph.scalar(1)]);
  const most = graph.op('ReduceMax', ['ids', graph.int64s([1])], { keepdims: attr.int(1) });
  const isLate = graph.op('Greater', [most, graph.scalar(1, 'int64')]);
  const kept = late ? graph.op('Where', [isLate, all, real]) : masked ? real : all;
  const embedded = graph.op('Gather', [weight(words, width, 1), 'ids']);
  const project = (phase: number): string => graph.op('MatMul', [embedded, weight(width, width, phase)]);
  const keys = graph.op('Transpose', [project(3)], { perm: attr.ints([0, 2, 1]) });
  const scores = graph.op('Mul', [graph.op('MatMul', [project(2), keys]), graph.scalar(0.05)]);
  const bias = graph.op('Mul', [graph.op('Sub', [kept, graph.scalar(1)]), graph.scalar(1e9)]);
  const shares = graph.op(
    'Softmax',
    [graph.op('Add', [scores, graph.op('Unsqueeze', [bias, graph.int64s([1])])])],
    { axis: attr.int(-1) },
  );
  const states = graph.op('Add', [embedded, graph.op('MatMul', [shares, project(4)])]);
  const column = graph.op('Unsqueeze', [kept, graph.int64s([2])]);
  const total = (value: string): string =>
    graph.op('ReduceSum', [value, graph.int64s([1])], { keepdims: attr.int(0) });
  let pooled = graph.op('Div', [total(graph.op('Mul', [states, column])), total(column)]);
  if (relative) {
    const length = graph.op('Gather', [graph.op('Shape', ['ids']), graph.scalar(1, 'int64')]);
    pooled = graph.op('Div', [pooled, graph.op('Cast', [length], { to: attr.int(1) })]);
  }
  const first = graph.op('ArgMax', [pooled], { axis: attr.int(1), keepdims: attr.int(0) });
  for (const [name, value] of Object.entries({ states, shares, pooled })) graph.output(value, name);
  if (best) graph.output(first, 'best');
  const built = graph.build();
  const shapes: Record<string, (string | number)[]> = {
    states: ['N', named ? 'S' : 'states_1', width],
    shares: ['N', named ? 'S' : 'shares_1', named ? 'S' : 'shares_2'],
  };
  return encodeModel({
    irVersion: 10,
    opsets: { '': 21 },
    producer: 'test',
    metadata: {},
    graph: {
      ...built,
      outputs: built.outputs.map((value) => ({ ...value, shape: shapes[value.name] ?? value.shape })),
    },
  });
}

/** Lists of words, all of one length, and a mask that hides none. */
export function lists(rows: readonly (readonly number[])[]): Feeds & Record<'ids' | 'mask', NdArray> {
  const dims = [rows.length, rows[0]?.length ?? 0];
  const ids = BigInt64Array.from(rows.flat(), BigInt);
  return {
    ids: { dtype: 'int64', dims, data: ids },
    mask: { dtype: 'int64', dims, data: new BigInt64Array(ids.length).fill(1n) },
  };
}
