import { GraphBuilder } from '../../../../src/ir/builder.js';
import { attr } from '../../../../src/ir/graph.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor, type NdArray } from '../../../../src/ir/tensor.js';
import type { Feeds } from '../../../../src/runtime/session.js';
import { encoder, lists, words } from '../padding/encoder.js';
import { colours, flowers, lookup } from '../releases.js';

/** From 0 to 1. */
export type Random = () => number;

/** Numbers that look random, the same ones for the same seed (Mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Subject {
  readonly name: string;
  /** Two models that answer differently. */
  readonly models: readonly [Uint8Array, Uint8Array];
  /** Inputs of a request: now and then some that the model cannot run on. */
  readonly draw: (random: Random) => Feeds;
}

const whole = (random: Random, from: number, to: number): number =>
  from + Math.floor(random() * (to - from + 1));

const floats = (random: Random, dims: number[]): NdArray => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => 4 * random() - 2),
});

/** Rows of any length, whose answers have that length, too: only equal lengths may share a run. */
function ragged(scale: number): Uint8Array {
  const graph = new GraphBuilder('ragged');
  graph.input('x', 'float32', ['N', 'S']);
  const last = graph.int64s([1]);
  const scaled = graph.op('Mul', ['x', graph.constant(tensor('float32', [], [scale]))]);
  graph.output(graph.op('Softmax', [scaled], { axis: attr.int(1) }), 'shares');
  graph.output(graph.op('ReduceSum', [scaled, last], { keepdims: attr.int(0) }), 'total');
  return encode(graph);
}

/** A perceptron, for rows of one length. */
function perceptron(shift: number): Uint8Array {
  const graph = new GraphBuilder('perceptron');
  graph.input('x', 'float32', ['N', 16]);
  const weight = (rows: number, columns: number): string =>
    graph.constant(
      tensor(
        'float32',
        [rows, columns],
        Array.from({ length: rows * columns }, (_, index) => Math.sin(index * 1.3 + shift) / 4),
      ),
    );
  const hidden = graph.op('Relu', [graph.op('MatMul', ['x', weight(16, 32)])]);
  graph.output(graph.op('MatMul', [hidden, weight(32, 4)]), 'y');
  return encode(graph);
}

function encode(graph: GraphBuilder): Uint8Array {
  const opsets = { '': 21 };
  return encodeModel({ irVersion: 10, opsets, producer: 'test', graph: graph.build(), metadata: {} });
}

export const subjects: readonly Subject[] = [
  {
    name: 'ragged',
    models: [ragged(1), ragged(-2)],
    draw: (random) => ({ x: floats(random, [whole(random, 1, 5), whole(random, 1, 24)]) }),
  },
  {
    // Lists of any length with a mask: they may be padded, and hide some of their words by themselves.
    name: 'encoder',
    models: [encoder({ best: false }), encoder({ best: false, seed: 1 })],
    draw: (random) => {
      const length = whole(random, 1, 24);
      const list = (): number[] => Array.from({ length }, () => whole(random, 0, words - 1));
      const inputs = lists(Array.from({ length: whole(random, 1, 3) }, list));
      inputs.mask.data.fill(0n as never, inputs.mask.data.length - whole(random, 0, length - 1));
      return inputs;
    },
  },
  {
    name: 'perceptron',
    models: [perceptron(0), perceptron(1)],
    draw: (random) => ({ x: floats(random, [whole(random, 1, 8), 16]) }),
  },
  {
    name: 'lookup',
    models: [lookup(4).model, lookup(5).model],
    draw: (random) => {
      const rows = whole(random, 1, 3);
      // One in fifty asks for a place outside of the table, and fails the run that it is in.
      const index = (): bigint => BigInt(random() < 0.02 ? 9 : whole(random, 0, 3));
      return { index: { dtype: 'int64', dims: [rows], data: BigInt64Array.from({ length: rows }, index) } };
    },
  },
  {
    name: 'flowers',
    models: [flowers().model, flowers({ bias: 2 }).model],
    draw: (random) => {
      const rows = whole(random, 1, 4);
      const colour = (): string => colours[whole(random, 0, 2)]!;
      return {
        features: floats(random, [rows, 2]),
        colour: { dtype: 'string', dims: [rows, 1], data: Array.from({ length: rows }, colour) },
      };
    },
  },
];
