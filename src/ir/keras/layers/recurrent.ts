import { attr, type Attribute } from '../../graph.js';
import type { NdArray } from '../../tensor.js';
import { plain, stepsFirst, turned, type Handle } from '../order.js';
import { unsupportedLayer } from '../problems.js';
import { Settings } from '../settings.js';
import { handleOf, type Emitter, type Site } from '../site.js';
import { readLayer } from '../topology.js';

interface Cell {
  readonly op: 'LSTM' | 'GRU' | 'RNN';
  readonly gates: number;
  /** h alone, or h and c. */
  readonly states: number;
  /** Places of Keras' gates in the order of ONNX. */
  readonly order: readonly number[];
  /** Settings that name functions, in the order of ONNX. */
  readonly functions: readonly string[];
}

/** Keras: i f c o and z r h; ONNX: i o f c and z r h. */
const cells: Readonly<Record<string, Cell>> = {
  LSTM: {
    op: 'LSTM',
    gates: 4,
    states: 2,
    order: [0, 3, 1, 2],
    functions: ['recurrent_activation', 'activation', 'activation'],
  },
  GRU: {
    op: 'GRU',
    gates: 3,
    states: 1,
    order: [0, 1, 2],
    functions: ['recurrent_activation', 'activation'],
  },
  SimpleRNN: { op: 'RNN', gates: 1, states: 1, order: [0], functions: ['activation'] },
};

/** Functions that the operators know: name, alpha, beta. */
const functions: Readonly<Record<string, readonly [name: string, alpha?: number, beta?: number]>> = {
  tanh: ['Tanh'],
  sigmoid: ['Sigmoid'],
  hard_sigmoid: ['HardSigmoid', 0.2, 0.5],
  relu: ['Relu'],
  linear: ['Affine', 1, 0],
  elu: ['Elu', 1],
  softsign: ['Softsign'],
  softplus: ['Softplus'],
};

/** One direction: where its settings and its weights come from. */
interface Direction {
  readonly settings: Settings;
  readonly find: (part: string, dims: readonly number[]) => NdArray;
}

/** What a recurrent layer gives. */
interface Emitted {
  /** After each step, by direction: values [steps, N, units], the steps in the order of the sequence. */
  readonly all: readonly string[];
  /** The last states by direction, each [N, units]. */
  readonly last: readonly (readonly string[])[];
}

function activationsOf(
  { functions: keys }: Cell,
  directions: readonly Direction[],
): Record<string, Attribute> {
  const chosen = directions.flatMap(({ settings }) =>
    keys.map((key) => {
      const otherwise = key === 'activation' ? 'tanh' : 'hard_sigmoid';
      const name = settings.raw(key) ?? otherwise;
      const found = typeof name === 'string' && Object.hasOwn(functions, name) ? functions[name] : undefined;
      if (!found) throw settings.fail(key, `maas knows ${Object.keys(functions).join(', ')} here`);
      return found;
    }),
  );
  return {
    activations: attr.strings(chosen.map(([name]) => name)),
    // Each function takes the numbers that it needs from the lists.
    ...(chosen.some(([, alpha]) => alpha !== undefined) && {
      activation_alpha: attr.floats(chosen.flatMap(([, alpha]) => (alpha === undefined ? [] : [alpha]))),
      activation_beta: attr.floats(chosen.flatMap(([, , beta]) => (beta === undefined ? [] : [beta]))),
    }),
  };
}

/** The parts of an array [rows, gates·units], turned to [gates·units, rows] in the order of ONNX. */
function gatesFirst({ dims, data }: NdArray, { gates, order }: Cell): Float32Array {
  const [rows, width] = dims.length === 1 ? [1, dims[0]!] : (dims as [number, number]);
  const units = width / gates;
  return Float32Array.from({ length: rows * width }, (_, at) => {
    const [column, row] = [Math.floor(at / rows), at % rows];
    return (data as Float32Array)[
      row * width + order[Math.floor(column / units)]! * units + (column % units)
    ]!;
  });
}

function joined(parts: readonly Float32Array[], dims: readonly number[]): NdArray {
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { dtype: 'float32', dims, data };
}

/** What both directions state alike. */
function expectEqual<T>(directions: readonly Direction[], read: (settings: Settings) => T, key: string): T {
  const [first, other = first] = directions.map(({ settings }) => read(settings));
  if (first !== other) throw directions[1]!.settings.fail(key, 'the other direction has another');
  return first!;
}

/** One node for one or both directions. */
function emitCell(site: Site, cell: Cell, directions: readonly Direction[], mode: string): Emitted {
  const { g, inputs, layer } = site;
  const [input, ...states] = inputs as [Handle, ...Handle[]];
  if (input.order.length !== 3)
    throw unsupportedLayer(layer, `it reads a value of ${input.order.length} axes, and takes 3`);
  if (states.length > 0 && states.length !== cell.states * directions.length) {
    throw unsupportedLayer(layer, `it reads ${states.length} states`);
  }
  const x = turned(g, input, stepsFirst);
  const features = Number(g.shapeOf(x)[2]);
  const units = expectEqual(directions, (each) => each.number('units'), 'units');
  const [count, width] = [directions.length, cell.gates * units];
  const isReset =
    cell.op === 'GRU' && expectEqual(directions, (each) => each.flag('reset_after', false), 'reset_after');
  const of = (part: string, dims: readonly number[]) =>
    directions.map(({ find }) => gatesFirst(find(part, dims), cell));
  const w = site.weight('kernel', () => joined(of('kernel', [features, width]), [count, width, features]));
  const r = site.weight('recurrent_kernel', () =>
    joined(of('recurrent_kernel', [units, width]), [count, width, units]),
  );
  const b = expectEqual(directions, (each) => each.flag('use_bias', true), 'use_bias')
    ? site.weight('bias', () =>
        joined(
          directions.flatMap((each) => biasOf(each, cell, width, isReset)),
          [count, 2 * width],
        ),
      )
    : '';
  const initial = Array.from({ length: states.length === 0 ? 0 : cell.states }, (_, state) => {
    const parts = directions.map((_, at) =>
      g.op('Unsqueeze', [plain(g, states[at * cell.states + state]!), g.int64s([0])]),
    );
    return parts.length === 1 ? parts[0]! : g.op('Concat', parts, { axis: attr.int(0) });
  });
  const read = [
    x,
    w,
    r,
    ...(b !== '' || initial.length > 0 ? [b] : []),
    ...(initial.length > 0 ? ['', ...initial] : []),
  ];
  const attributes = {
    hidden_size: attr.int(units),
    ...(mode !== 'forward' && { direction: attr.string(mode) }),
    ...(isReset && { linear_before_reset: attr.int(1) }),
    ...activationsOf(cell, directions),
  };
  const [all, ...last] = g.ops(cell.op, read, attributes, { outputs: 1 + cell.states });
  const pick = (value: string, axis: number, at: number): string =>
    count === 1
      ? g.op('Squeeze', [value, g.int64s([axis])])
      : g.op('Gather', [value, g.scalar(at, 'int64')], { axis: attr.int(axis) });
  // Nodes that nothing reads are dropped in the end.
  return {
    all: directions.map((_, at) => pick(all!, 1, at)),
    last: directions.map((_, at) => last.map((state) => pick(state, 0, at))),
  };
}

function biasOf({ find }: Direction, cell: Cell, width: number, isReset: boolean): Float32Array[] {
  if (!isReset) return [gatesFirst(find('bias', [width]), cell), new Float32Array(width)];
  const { data } = find('bias', [2, width]);
  return [data.slice(0, width), data.slice(width)].map((half) =>
    gatesFirst({ dtype: 'float32', dims: [width], data: half }, cell),
  );
}

/** Reads what applies to each kind of recurrent layer, and refuses what a trained model would give otherwise. */
function flagsOf(settings: Settings) {
  if (settings.flag('stateful', false)) throw settings.fail('stateful', 'maas keeps no state between calls');
  return {
    sequences: settings.flag('return_sequences', false),
    states: settings.flag('return_state', false),
    backwards: settings.flag('go_backwards', false),
  };
}

const reversed = (g: Site['g'], value: string): string =>
  g.op('Slice', [value, g.int64s([-1]), g.int64s([-(2 ** 31)]), g.int64s([0]), g.int64s([-1])]);

const recurrent =
  (name: string): Emitter =>
  (site) => {
    const { g, settings } = site;
    const { sequences, states, backwards } = flagsOf(settings);
    const direction: Direction = { settings, find: (part, dims) => site.expect(part, dims) };
    const { all, last } = emitCell(site, cells[name]!, [direction], backwards ? 'reverse' : 'forward');
    // Keras gives the steps in the order in which it has taken them.
    const steps = backwards && sequences ? reversed(g, all[0]!) : all[0]!;
    const given: Handle = sequences ? { value: steps, order: stepsFirst } : handleOf(g, last[0]![0]!);
    return [given, ...(states ? last[0]!.map((value) => handleOf(g, value)) : [])];
  };

const bidirectional: Emitter = (site) => {
  const { g, settings, scope, layer } = site;
  const forward = readLayer(settings.raw('layer'), `the layer in ${layer.name}`);
  const stated = settings.raw('backward_layer');
  const backward = stated === undefined ? forward : readLayer(stated, `the layer in ${layer.name}`);
  const cell = cells[forward.className];
  if (!cell || backward.className !== forward.className) {
    throw settings.fail('layer', `maas knows ${Object.keys(cells).join(', ')} here`);
  }
  const plainName = forward.name.replace(/^forward_/, '');
  const directions = [forward, backward].map(({ config, className, name }, at): Direction => {
    const prefix = at === 0 ? 'forward_' : 'backward_';
    const own = name.startsWith(prefix) ? name : `${prefix}${plainName}`;
    return {
      settings: new Settings({ name: `${scope.join('/')}/${own}`, className }, config),
      find: (part, dims) => site.expect(part, dims, own),
    };
  });
  const flags = directions.map((direction) => flagsOf(direction.settings))[0]!;
  if (flags.backwards) throw settings.fail('layer', 'go_backwards is on');
  const { all, last } = emitCell(site, cell, directions, 'bidirectional');
  for (const direction of directions) direction.settings.expectAllRead();
  const parts: Handle[] = flags.sequences
    ? all.map((value) => ({ value, order: stepsFirst }))
    : last.map(([value]) => handleOf(g, value!));
  const states = flags.states ? last.flat().map((value) => handleOf(g, value)) : [];
  const mode =
    settings.raw('merge_mode') === undefined
      ? 'none'
      : settings.text('merge_mode', ['concat', 'sum', 'mul', 'ave'], 'concat');
  if (mode === 'none') return [...parts, ...states];
  const values = parts.map(({ value }) => value);
  const ops = { concat: 'Concat', sum: 'Add', mul: 'Mul', ave: 'Mean' } as const;
  const merged = g.op(ops[mode], values, mode === 'concat' ? { axis: attr.int(-1) } : {});
  return [{ value: merged, order: parts[0]!.order }, ...states];
};

export const recurrents: Readonly<Record<string, Emitter>> = {
  ...Object.fromEntries(Object.keys(cells).map((name) => [name, recurrent(name)])),
  Bidirectional: bidirectional,
};
