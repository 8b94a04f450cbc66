import { numberAttribute, stringAttribute, type Node } from '../../graph.js';
import type { Tensor, Tf } from '../tf.js';
import { unsupported, type Call, type Op, type Ops } from './op.js';

type Activation = (tf: Tf, x: Tensor) => Tensor;

const activations: Readonly<Record<string, Activation>> = {
  Sigmoid: (tf, x) => tf.sigmoid(x),
  Tanh: (tf, x) => tf.tanh(x),
  Relu: (tf, x) => tf.relu(x),
  Elu: (tf, x) => tf.elu(x),
  Softplus: (tf, x) => tf.softplus(x),
  // The only numbers that models of Keras have here.
  HardSigmoid: (tf, x) => tf.clipByValue(tf.add(tf.mul(x, 0.2), 0.5), 0, 1),
  Affine: (_tf, x) => x,
};

/** What a step of one direction works with. */
interface Step {
  readonly tf: Tf;
  readonly node: Node;
  readonly functions: readonly Activation[];
  /** The projected inputs by gate, each [N, units]. */
  readonly x: readonly Tensor[];
  /** Multiplies the states with the part of R from one gate to before another. */
  readonly product: (h: Tensor, from: number, to: number) => Tensor[];
}

interface Cell {
  readonly gates: number;
  /** h alone, or h and c. */
  readonly states: number;
  readonly defaults: readonly string[];
  next(step: Step, states: readonly Tensor[]): Tensor[];
}

const lstm: Cell = {
  gates: 4,
  states: 2,
  defaults: ['Sigmoid', 'Tanh', 'Tanh'],
  next({ tf, functions: [f, g, h], x, product }, [before, cell]) {
    const [input, output, forget, change] = product(before!, 0, 4).map((part, gate) =>
      tf.add(x[gate]!, part),
    );
    const kept = tf.mul(f!(tf, forget!), cell!);
    const c = tf.add(kept, tf.mul(f!(tf, input!), g!(tf, change!)));
    return [tf.mul(f!(tf, output!), h!(tf, c)), c];
  },
};

const gru: Cell = {
  gates: 3,
  states: 1,
  defaults: ['Sigmoid', 'Tanh'],
  next({ tf, node, functions: [f, g], x, product }, [before]) {
    const [update, reset] = product(before!, 0, 2).map((part, gate) => f!(tf, tf.add(x[gate]!, part)));
    const isAfter = numberAttribute(node, 'linear_before_reset', 0) !== 0;
    const [recurrent] = isAfter
      ? product(before!, 2, 3).map((part) => tf.mul(reset!, part))
      : product(tf.mul(reset!, before!), 2, 3);
    const change = g!(tf, tf.add(x[2]!, recurrent!));
    return [tf.add(change, tf.mul(update!, tf.sub(before!, change)))];
  },
};

const rnn: Cell = {
  gates: 1,
  states: 1,
  defaults: ['Tanh'],
  next: ({ tf, functions: [f], x, product }, [before]) => [f!(tf, tf.add(x[0]!, product(before!, 0, 1)[0]!))],
};

function functionsOf(node: Node, { defaults }: Cell, directions: number): readonly Activation[] {
  const stated = node.attributes['activations'];
  const names =
    stated?.type === 'strings' ? stated.value : Array.from({ length: directions }, () => defaults).flat();
  return names.map((name) => {
    const found = Object.hasOwn(activations, name) ? activations[name] : undefined;
    if (!found) throw unsupported(node, `it has the activation ${name}`);
    return found;
  });
}

/** The attributes and inputs that TensorFlow.js would have to be taught. */
function refuseOthers({ node, inputs }: Call): void {
  for (const name of ['layout', 'input_forget', 'clip']) {
    if (numberAttribute(node, name, 0) !== 0) throw unsupported(node, `it has ${name}`);
  }
  if (inputs[7]) throw unsupported(node, 'it has peepholes');
}

const recurrent =
  (cell: Cell): Op =>
  (call) => {
    refuseOthers(call);
    const { tf, node } = call;
    const mode = stringAttribute(node, 'direction', 'forward');
    const count = mode === 'bidirectional' ? 2 : 1;
    const functions = functionsOf(node, cell, count);
    const each = functions.length / count;
    const ran = Array.from({ length: count }, (_, at) =>
      run(call, cell, {
        at,
        functions: functions.slice(at * each, (at + 1) * each),
        reverse: at === 1 || mode === 'reverse',
      }),
    );
    const all = tf.stack(
      ran.map((one) => one.all),
      1,
    );
    const last = Array.from({ length: cell.states }, (_, state) =>
      tf.stack(
        ran.map((one) => one.states[state]!),
        0,
      ),
    );
    return [all, ...last];
  };

interface Direction {
  readonly at: number;
  readonly functions: readonly Activation[];
  readonly reverse: boolean;
}

/** One direction: outputs of all steps [steps, N, units], and the last states [N, units]. */
function run({ tf, node, inputs }: Call, cell: Cell, { at, functions, reverse }: Direction) {
  const [x, w, r, b, lengths, ...initial] = inputs;
  const [steps, rows, features] = x!.shape as [number, number, number];
  const units = r!.shape[2]!;
  const part = (whole: Tensor): Tensor => {
    const [, ...rest] = whole.shape;
    return tf.reshape(tf.slice(whole, [at, ...rest.map(() => 0)], [1, ...rest]), rest);
  };
  // TensorFlow.js knows no slope of a split into one part.
  const gates = (whole: Tensor): Tensor[] =>
    whole.shape[1] === units
      ? [whole]
      : tf.split(whole, Array<number>(whole.shape[1]! / units).fill(units), 1);
  const [own, recurrentOffset] = b ? tf.split(part(b), [cell.gates * units, cell.gates * units], 0) : [];
  const product = tf.matMul(tf.reshape(x!, [steps * rows, features]), part(w!), false, true);
  const projected = tf.reshape(own ? tf.add(product, own) : product, [steps, rows, cell.gates * units]);
  const kernel = part(r!);
  const step = (index: number): Step => ({
    tf,
    node,
    functions,
    x: gates(tf.reshape(tf.slice(projected, [index, 0, 0], [1, rows, cell.gates * units]), [rows, -1])),
    product: (h, from, to) => {
      const cut = tf.slice(kernel, [from * units, 0], [(to - from) * units, units]);
      const found = tf.matMul(h, cut, false, true);
      const offset = recurrentOffset && tf.slice(recurrentOffset, [from * units], [(to - from) * units]);
      return gates(offset ? tf.add(found, offset) : found);
    },
  });
  let states = Array.from({ length: cell.states }, (_, state) =>
    initial[state] ? part(initial[state]) : tf.fill([rows, units], 0, 'float32'),
  );
  const all = Array<Tensor>(steps);
  for (let count = 0; count < steps; count++) {
    const index = reverse ? steps - 1 - count : count;
    const next = cell.next(step(index), states);
    // Rows whose sequence has ended keep their states, and give 0.
    const goesOn = lengths && tf.cast(tf.reshape(tf.greater(lengths, index), [rows, 1]), 'float32');
    const held = states;
    states = goesOn
      ? next.map((state, one) => tf.add(held[one]!, tf.mul(goesOn, tf.sub(state, held[one]!))))
      : next;
    all[index] = goesOn ? tf.mul(goesOn, states[0]!) : states[0]!;
  }
  return { all: tf.stack(all, 0), states };
}

export const recurrents: Ops = { LSTM: recurrent(lstm), GRU: recurrent(gru), RNN: recurrent(rnn) };
