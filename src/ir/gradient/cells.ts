import type { GraphBuilder } from '../builder.js';
import { attr, numberAttribute, type Node } from '../graph.js';

/** Emits an operator inside the body of a Scan. */
type Emit = (op: string, inputs: readonly string[]) => string;

/** An activation. */
export interface CellActivation {
  readonly op: string;
  /** Its slope as a function of what it gave. */
  slope(g: GraphBuilder, y: string): string;
  /** a times the slope, given a·y. */
  scaledSlope(g: GraphBuilder, y: string, a: () => string, product: string): string;
}

export const cellActivations: Readonly<Record<string, CellActivation>> = {
  Sigmoid: {
    op: 'Sigmoid',
    slope: (g, y) => g.op('Sub', [y, g.op('Mul', [y, y])]),
    scaledSlope: (g, y, _, product) => g.op('Sub', [product, g.op('Mul', [product, y])]),
  },
  Tanh: {
    op: 'Tanh',
    slope: (g, y) => g.op('Sub', [g.scalar(1), g.op('Mul', [y, y])]),
    scaledSlope: (g, y, a, product) => g.op('Sub', [a(), g.op('Mul', [product, y])]),
  },
  Relu: {
    op: 'Relu',
    slope: isPositive,
    scaledSlope: (g, y, a) => g.op('Mul', [a(), isPositive(g, y)]),
  },
};

function isPositive(g: GraphBuilder, y: string): string {
  return g.op('Cast', [g.op('Greater', [y, g.scalar(0)])], { to: attr.int(1) });
}

/** The weights that a cell's steps multiply with, and what they are made of. */
export interface CellWeights {
  readonly units: number;
  /** Activations in the operator's order. */
  readonly functions: readonly CellActivation[];
  /** [gates·units, units] as the operator has it. */
  readonly r: string;
  /** Recurrent offsets [gates·units] that are not part of the projected inputs. */
  readonly rb: string | undefined;
  /** The rows of `r` from one gate to before another, cut out once for all steps. */
  rows(from: number, to: number): string;
}

/** What a step keeps for the way back, by name. */
export type Kept = Readonly<Record<string, string>>;

/**
 * One step of a recurrent operator, and its vector–Jacobian product. All steps' inputs are multiplied with W at once
 * before the first step, all gradients of weights at once after the last. The forward step already works out the
 * slopes: its values are still in the cache.
 */
export interface Cell {
  readonly gates: number;
  /** h alone, or h and c. */
  readonly states: number;
  /** Emits the next states from the states and the projected inputs [N, gates·units]. */
  forward(
    g: GraphBuilder,
    states: readonly string[],
    x: string,
    weights: CellWeights,
  ): { readonly states: readonly string[]; readonly kept: Kept };
  /**
   * Emits the gradients of the states before the step from those after it.
   * @returns `dg`, of the projected inputs; `dr` where that of h·Rᵀ is another: [N, gates·units].
   */
  backward(
    g: GraphBuilder,
    ds: readonly string[],
    kept: Kept,
    weights: CellWeights,
  ): { readonly ds: readonly string[]; readonly dg: string; readonly dr?: string };
  /** Whether the recurrent offsets must stay apart from those of the inputs. */
  readonly separateOffsets: boolean;
  /** The rows of R that multiply with something else than h, and the name under which the step keeps that. */
  readonly other?: { readonly from: number; readonly kept: string };
}

const emitter =
  (g: GraphBuilder): Emit =>
  (op, inputs) =>
    g.op(op, inputs);

function concat(g: GraphBuilder, ...parts: string[]): string {
  return g.op('Concat', parts, { axis: attr.int(-1) });
}

function split(g: GraphBuilder, value: string, ...sizes: number[]): string[] {
  return g.ops('Split', [value, g.int64s(sizes)], { axis: attr.int(-1) }, { outputs: sizes.length });
}

/** a·bᵀ + c */
function product(g: GraphBuilder, a: string, b: string, c?: string): string {
  return g.op('Gemm', [a, b, ...(c === undefined ? [] : [c])], { transB: attr.int(1) });
}

/** Hochreiter and Schmidhuber 1997; gates i, o, f, c as ONNX has them. */
const lstm: Cell = {
  gates: 4,
  states: 2,
  separateOffsets: false,
  forward(g, [h, c], x, { r, units, functions: [gate, candidate, output] }) {
    const op = emitter(g);
    const [iofSum, gSum] = split(g, product(g, h!, r, x), 3 * units, units);
    const iof = op(gate!.op, [iofSum!]);
    const [i, o, f] = split(g, iof, units, units, units);
    const fresh = op(candidate!.op, [gSum!]);
    const [kept, added] = [op('Mul', [f!, c!]), op('Mul', [i!, fresh])];
    const next = op('Add', [kept, added]);
    const shown = op(output!.op, [next]);
    const h1 = op('Mul', [o!, shown]);
    const products = concat(g, added, h1, kept);
    const slopes = gate!.scaledSlope(g, iof, () => concat(g, fresh, shown, c!), products);
    return {
      states: [h1, next],
      kept: {
        toC: output!.scaledSlope(g, shown, () => o!, h1),
        gates: concat(
          g,
          slopes,
          candidate!.scaledSlope(g, fresh, () => i!, added),
        ),
        f: f!,
      },
    };
  },
  backward(g, [dh, dcNext], { toC, gates, f }, { r }) {
    const op = emitter(g);
    const dc = op('Add', [dcNext!, op('Mul', [dh!, toC!])]);
    const dg = op('Mul', [concat(g, dc, dh!, dc, dc), gates!]);
    return { ds: [op('Gemm', [dg, r]), op('Mul', [dc, f!])], dg };
  },
};

/** Cho and others, arXiv:1406.1078, with the reset after the product (linear_before_reset); gates z, r, h. */
const gruResetAfter: Cell = {
  gates: 3,
  states: 1,
  separateOffsets: true,
  forward(g, [h], x, { r, rb, units, functions: [gate, candidate] }) {
    const op = emitter(g);
    const [xzr, xn] = split(g, x, 2 * units, units);
    const [hzr, q] = split(g, product(g, h!, r, rb), 2 * units, units);
    const zr = op(gate!.op, [op('Add', [xzr!, hzr!])]);
    const [z, reset] = split(g, zr, units, units);
    const n = op(candidate!.op, [op('Add', [xn!, op('Mul', [reset!, q!])])]);
    const less = op('Sub', [h!, n]);
    const toN = op('Mul', [op('Sub', [g.scalar(1), z!]), candidate!.slope(g, n)]);
    const toZr = op('Mul', [gate!.slope(g, zr), concat(g, less, op('Mul', [toN, q!]))]);
    return {
      states: [op('Add', [n, op('Mul', [z!, less])])],
      kept: { gates: concat(g, toZr, op('Mul', [toN, reset!])), toN, z: z! },
    };
  },
  backward(g, [dh], { gates, toN, z }, { r, units }) {
    const op = emitter(g);
    const dr = op('Mul', [concat(g, dh!, dh!, dh!), gates!]);
    const [dzr] = split(g, dr, 2 * units, units);
    return {
      ds: [op('Gemm', [dr, r, op('Mul', [dh!, z!])])],
      dg: concat(g, dzr!, op('Mul', [dh!, toN!])),
      dr,
    };
  },
};

/** As the paper has it: the reset before the product. */
const gru: Cell = {
  gates: 3,
  states: 1,
  separateOffsets: false,
  other: { from: 2, kept: 'resetH' },
  forward(g, [h], x, weights) {
    const op = emitter(g);
    const { units, functions } = weights;
    const [gate, candidate] = functions;
    const [xzr, xn] = split(g, x, 2 * units, units);
    const zr = op(gate!.op, [product(g, h!, weights.rows(0, 2), xzr)]);
    const [z, reset] = split(g, zr, units, units);
    const resetH = op('Mul', [reset!, h!]);
    const n = op(candidate!.op, [product(g, resetH, weights.rows(2, 3), xn)]);
    const less = op('Sub', [h!, n]);
    const [slopeZ, slopeR] = split(g, gate!.slope(g, zr), units, units);
    return {
      states: [op('Add', [n, op('Mul', [z!, less])])],
      kept: {
        toN: op('Mul', [op('Sub', [g.scalar(1), z!]), candidate!.slope(g, n)]),
        toZ: op('Mul', [less, slopeZ!]),
        toR: op('Mul', [h!, slopeR!]),
        z: z!,
        reset: reset!,
        resetH,
      },
    };
  },
  backward(g, [dh], { toN, toZ, toR, z, reset }, weights) {
    const op = emitter(g);
    const dn = op('Mul', [dh!, toN!]);
    const dResetH = op('Gemm', [dn, weights.rows(2, 3)]);
    const dzr = concat(g, op('Mul', [dh!, toZ!]), op('Mul', [dResetH, toR!]));
    const direct = op('Add', [op('Mul', [dh!, z!]), op('Mul', [dResetH, reset!])]);
    return { ds: [op('Gemm', [dzr, weights.rows(0, 2), direct])], dg: concat(g, dzr, dn) };
  },
};

/** Elman 1990. */
const rnn: Cell = {
  gates: 1,
  states: 1,
  separateOffsets: false,
  forward(g, [h], x, { r, functions: [activation] }) {
    const next = g.op(activation!.op, [product(g, h!, r, x)]);
    return { states: [next], kept: { slope: activation!.slope(g, next) } };
  },
  backward(g, [dh], { slope }, { r }) {
    const dg = g.op('Mul', [dh!, slope!]);
    return { ds: [g.op('Gemm', [dg, r])], dg };
  },
};

/** The cell that a node repeats, and its activations unless it names others. */
export function cellOf(node: Node): { readonly cell: Cell; readonly defaults: readonly string[] } {
  if (node.op === 'LSTM') return { cell: lstm, defaults: ['Sigmoid', 'Tanh', 'Tanh'] };
  if (node.op === 'RNN') return { cell: rnn, defaults: ['Tanh'] };
  const after = numberAttribute(node, 'linear_before_reset', 0) === 1;
  return { cell: after ? gruResetAfter : gru, defaults: ['Sigmoid', 'Tanh'] };
}
