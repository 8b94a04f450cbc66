import type { GraphBuilder } from '../builder.js';
import { attr, numberAttribute, stringAttribute } from '../graph.js';
import { cellActivations, cellOf, type Cell, type CellActivation, type CellWeights } from './cells.js';
import { emitScan } from './scan.js';
import { reshapeLike, sum, type Derivative, type GradientRule, type GradientSite } from './rule.js';

/** One direction of a recurrent node. */
interface Pass {
  readonly cell: Cell;
  readonly weights: CellWeights;
  readonly w: string;
  readonly reverse: boolean;
  /** Which rows of the batch still go on at a step, [steps, N, 1], where sequences have lengths. */
  readonly mask: string | undefined;
}

/** What the forward Scan of a pass leaves: names of values. */
interface Ran {
  /** h after each step [steps, N, units]; 0 after a sequence's end. */
  readonly all: string;
  readonly last: readonly string[];
  /** h before each step, stacked. */
  readonly before: string;
  readonly kept: Readonly<Record<string, string>>;
}

interface Slopes {
  readonly x: () => string;
  readonly w: () => string;
  readonly r: () => string;
  readonly b: () => string;
  readonly states: readonly (() => string)[];
}

/**
 * LSTM, GRU and RNN. The operators keep nothing for the way back, so each direction becomes a Scan that does; a second
 * one goes back over the steps.
 */
const recurrent: GradientRule = (site) => {
  const { g, node, x, y } = site;
  const { cell, functions, units } = readCell(site);
  const direction = stringAttribute(node, 'direction', 'forward');
  const count = direction === 'bidirectional' ? 2 : 1;
  const pick = (name: string, at: number): string =>
    count === 1
      ? g.op('Squeeze', [name, g.int64s([0])])
      : g.op('Gather', [name, g.scalar(at, 'int64')], { axis: attr.int(0) });
  const passes: { pass: Pass; ran: Ran }[] = [];
  const stateInputs = [5, 6].slice(0, cell.states);

  g.replace(node, () => {
    const mask = site.has(4) ? emitMask(site) : undefined;
    for (let at = 0; at < count; at++) {
      const offsets = site.has(3)
        ? g.ops('Split', [pick(x[3]!, at)], { axis: attr.int(0), num_outputs: attr.int(2) }, { outputs: 2 })
        : undefined;
      const r = pick(x[2]!, at);
      const cut = new Map<string, string>();
      const weights: CellWeights = {
        units,
        functions: functions.slice((at * functions.length) / count, ((at + 1) * functions.length) / count),
        r,
        rb: cell.separateOffsets ? offsets?.[1] : undefined,
        rows: (from, to) => {
          const key = `${from}:${to}`;
          const ends = [g.int64s([from * units]), g.int64s([to * units]), g.int64s([0])];
          if (!cut.has(key)) cut.set(key, g.op('Slice', [r, ...ends]));
          return cut.get(key)!;
        },
      };
      const w = pick(x[1]!, at);
      const pass = { cell, weights, w, reverse: at === 1 || direction === 'reverse', mask };
      const bias = offsets && (cell.separateOffsets ? offsets[0]! : site.add(offsets[0]!, offsets[1]!));
      const states = stateInputs.map((input) =>
        site.has(input) ? pick(x[input]!, at) : noState(site, units),
      );
      passes.push({ pass, ran: runForward(site, pass, bias, states) });
    }
    const stack = (name: string | undefined, parts: readonly string[], axis: number): void => {
      if (!name) return;
      const lifted = parts.map((part) => g.op('Unsqueeze', [part, g.int64s([axis])]));
      g.add({
        op: 'Concat',
        domain: '',
        name,
        inputs: lifted,
        outputs: [name],
        attributes: { axis: attr.int(axis) },
      });
    };
    stack(
      y[0],
      passes.map(({ ran }) => ran.all),
      1,
    );
    stateInputs.forEach((_, state) => {
      stack(
        y[state + 1],
        passes.map(({ ran }) => ran.last[state]!),
        0,
      );
    });
  });

  const slopes: Slopes[] = [];
  const back = (at: number): Slopes => {
    const { pass, ran } = passes[at]!;
    const [dy, ...ends] = site.dys;
    const all =
      dy &&
      (count === 1
        ? g.op('Squeeze', [dy, g.int64s([1])])
        : g.op('Gather', [dy, g.scalar(at, 'int64')], { axis: attr.int(1) }));
    const last = stateInputs.map((_, state) => (ends[state] ? pick(ends[state], at) : noState(site, units)));
    return (slopes[at] ??= runBack(site, pass, ran, all, last));
  };
  const over = (part: (slopes: Slopes) => string): Derivative => {
    return () => {
      const parts = passes.map((_, at) => g.op('Unsqueeze', [part(back(at)), g.int64s([0])]));
      return parts.length === 1 ? parts[0]! : g.op('Concat', parts, { axis: attr.int(0) });
    };
  };
  return [
    () => passes.map((_, at) => back(at).x()).reduce((total, part) => site.add(total, part)),
    over((part) => part.w()),
    over((part) => part.r()),
    over((part) => part.b()),
    undefined,
    ...stateInputs.map((_, state) => over((part) => part.states[state]!())),
  ];
};

function readCell(site: GradientSite): { cell: Cell; functions: CellActivation[]; units: number } {
  const { node } = site;
  if (numberAttribute(node, 'layout', 0) === 1) site.refuse('its batch comes first (layout 1)');
  if ('clip' in node.attributes) site.refuse('it clips its sums');
  if (numberAttribute(node, 'input_forget', 0) === 1) site.refuse('its input and forget gates are one');
  if (site.has(7)) site.refuse('it has peepholes');
  const { cell, defaults } = cellOf(node);
  const directions = stringAttribute(node, 'direction', 'forward') === 'bidirectional' ? 2 : 1;
  const given = node.attributes['activations'];
  const names =
    given?.type === 'strings' ? given.value : Array.from({ length: directions }, () => defaults).flat();
  const functions = names.map((name) => {
    const known = Object.keys(cellActivations).find((other) => other.toLowerCase() === name.toLowerCase());
    return known ? cellActivations[known]! : site.refuse(`its activation ${name} has no gradient here`);
  });
  const stated = numberAttribute(node, 'hidden_size', 0);
  const units = stated > 0 ? stated : site.dims(2)[2];
  return { cell, functions, units: typeof units === 'number' ? units : site.refuse('its size is not known') };
}

/** Zeros [N, units]. */
function noState({ g, x }: GradientSite, units: number): string {
  const rows = g.op('Slice', [g.op('Shape', [x[0]!]), g.int64s([1]), g.int64s([2])]);
  return g.op('ConstantOfShape', [g.op('Concat', [rows, g.int64s([units])], { axis: attr.int(0) })]);
}

/** step < length, [steps, N, 1] */
function emitMask({ g, x }: GradientSite): string {
  const steps = g.op('Gather', [g.op('Shape', [x[0]!]), g.scalar(0, 'int64')]);
  const numbers = g.op('Range', [g.scalar(0, 'int64'), steps, g.scalar(1, 'int64')]);
  const lengths = g.op('Cast', [x[4]!], { to: attr.int(7) });
  const less = g.op('Less', [
    g.op('Unsqueeze', [numbers, g.int64s([1, 2])]),
    g.op('Unsqueeze', [lengths, g.int64s([1])]),
  ]);
  return less;
}

/** What the node reads, [steps·N, features]. */
function inputRows({ g, x }: GradientSite): string {
  return g.op('Flatten', [x[0]!], { axis: attr.int(2) });
}

/** [steps, N, size] → [steps·N, size] */
function asRows(g: GraphBuilder, value: string, size: number): string {
  return g.op('Reshape', [value, g.int64s([-1, size])]);
}

function runForward(site: GradientSite, pass: Pass, bias: string | undefined, first: readonly string[]): Ran {
  const { g } = site;
  const { cell, weights, mask } = pass;
  const [steps, rows] = site.dims(0);
  const size = cell.gates * weights.units;
  const sums = g.op('Gemm', [inputRows(site), pass.w, ...(bias ? [bias] : [])], { transB: attr.int(1) });
  const projected = g.op('Reshape', [sums, shapeOfSteps(site, steps!, rows!, size)]);
  let keys: string[] = [];
  const { reverse } = pass;
  const outputs = emitScan(
    g,
    first,
    [projected, ...(mask ? [mask] : [])].map((name) => ({ name, reverse })),
    () => ({ reverse }),
    (body, states, [each, on]) => {
      const next = cell.forward(body, states, each!, weights);
      keys = Object.keys(next.kept);
      const held = on
        ? next.states.map((state, at) => body.op('Where', [on, state, states[at]!]))
        : next.states;
      const shown = on ? body.op('Where', [on, next.states[0]!, body.scalar(0)]) : next.states[0]!;
      return [...held, shown, states[0]!, ...Object.values(next.kept)];
    },
  );
  const [all, before, ...kept] = outputs.slice(cell.states);
  return {
    all: all!,
    last: outputs.slice(0, cell.states),
    before: before!,
    kept: Object.fromEntries(keys.map((key, at) => [key, kept[at]!])),
  };
}

function shapeOfSteps(
  { g, x }: GradientSite,
  steps: number | string,
  rows: number | string,
  size: number,
): string {
  if (typeof steps === 'number') return g.int64s([steps, typeof rows === 'number' ? rows : -1, size]);
  const leading = g.op('Slice', [g.op('Shape', [x[0]!]), g.int64s([0]), g.int64s([2])]);
  return g.op('Concat', [leading, g.int64s([size])], { axis: attr.int(0) });
}

function runBack(
  site: GradientSite,
  pass: Pass,
  ran: Ran,
  dy: string | undefined,
  last: readonly string[],
): Slopes {
  const { g, x } = site;
  const { cell, weights, mask } = pass;
  const names = Object.keys(ran.kept);
  const read = [...(dy ? [dy] : []), ...(mask ? [mask] : []), ...Object.values(ran.kept)];
  let apart = false;
  const way = { reverse: !pass.reverse };
  const inputs = read.map((name) => ({ name, ...way }));
  const outputs = emitScan(
    g,
    last,
    inputs,
    () => way,
    (body, after, inputs) => {
      const rest = [...inputs];
      const given = dy ? rest.shift() : undefined;
      const on = mask ? rest.shift() : undefined;
      const zero = body.scalar(0);
      const keep = (value: string, otherwise: string) =>
        on ? body.op('Where', [on, value, otherwise]) : value;
      const dh = given ? body.op('Add', [after[0]!, keep(given, zero)]) : after[0]!;
      const kept = Object.fromEntries(names.map((name, at) => [name, rest[at]!]));
      const { ds, dg, dr } = cell.backward(body, [dh, ...after.slice(1)], kept, weights);
      apart = dr !== undefined;
      return [
        ...ds.map((state, at) => keep(state, after[at]!)),
        keep(dg, zero),
        ...(dr ? [keep(dr, zero)] : []),
      ];
    },
  );
  const { units } = weights;
  const size = cell.gates * units;
  const dg = asRows(g, outputs[cell.states]!, size);
  const dr = apart ? asRows(g, outputs[cell.states + 1]!, size) : dg;
  const turned = (left: string, right: string) => g.op('Gemm', [left, right], { transA: attr.int(1) });
  const columns = (from: number, to: number) =>
    g.op('Slice', [dr, g.int64s([from * units]), g.int64s([to * units]), g.int64s([1])]);
  return {
    x: () => reshapeLike(g, g.op('Gemm', [dg, pass.w]), x[0]!),
    w: () => turned(dg, inputRows(site)),
    r() {
      const h = asRows(g, ran.before, units);
      if (!cell.other) return turned(dr, h);
      const { from, kept } = cell.other;
      const parts = [
        turned(columns(0, from), h),
        turned(columns(from, cell.gates), asRows(g, ran.kept[kept]!, units)),
      ];
      return g.op('Concat', parts, { axis: attr.int(0) });
    },
    b() {
      const ofInputs = sum(g, dg, [0], false);
      const ofStates = apart ? sum(g, dr, [0], false) : ofInputs;
      return g.op('Concat', [ofInputs, ofStates], { axis: attr.int(0) });
    },
    states: last.map((_, state) => () => outputs[state]!),
  };
}

export const recurrentGradients = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
