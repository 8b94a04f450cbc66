import type { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Attributes } from '../../../src/ir/graph.js';
import { slice } from '../../../src/ir/shapes/subgraphs.js';
import { tensor, type NumericDType } from '../../../src/ir/tensor.js';
import type { GradientCase } from '../gradient-cases.js';

/** A body with inputs of the types of some values, one axis less for those that a Scan goes along. */
function bodyOf(
  g: GraphBuilder,
  states: readonly string[],
  tracks: readonly (readonly [name: string, axis: number])[],
  emit: (body: GraphBuilder, names: readonly string[]) => readonly string[],
) {
  const body = g.inner('body');
  const names = [
    ...states.map((name) => body.input(g.unique('state'), g.dtypeOf(name), g.typeOf(name)?.shape)),
    ...tracks.map(([name, axis]) =>
      body.input(g.unique('slice'), g.dtypeOf(name), slice(g.typeOf(name), axis)?.shape),
    ),
  ];
  for (const name of emit(body, names)) body.output(name, g.unique('given'));
  return attr.graph(body.build());
}

/** h ← tanh(x + h·W), where W lies outside; gives the last h, and each h·h. */
export function recurrence(
  g: GraphBuilder,
  [h, x, w]: string[],
  axis: number,
  attributes: Attributes = {},
): string[] {
  const body = bodyOf(g, [h!], [[x!, axis]], (b, [state, each]) => {
    const next = b.op('Tanh', [b.op('Add', [each!, b.op('MatMul', [state!, w!])])]);
    return [next, b.op('Mul', [next, next])];
  });
  return g.ops('Scan', [h!, x!], { body, num_scan_inputs: attr.int(1), ...attributes }, { outputs: 2 });
}

const shapes = [
  [2, 2],
  [3, 2, 2],
  [2, 2],
];

/** v ← v·W + step, `count` times; gives the last v, and v·v of each step. */
export function loop(
  g: GraphBuilder,
  [v, w]: string[],
  count: string,
  going: 'constant' | 'passed',
): string[] {
  const body = g.inner('body');
  const step = body.input(g.unique('step'), 'int64', []);
  const on = body.input(g.unique('on'), 'bool', []);
  const state = body.input(g.unique('v'), g.dtypeOf(v!), g.typeOf(v!)?.shape);
  const number = body.op('CastLike', [step, state]);
  const next = body.op('Add', [body.op('MatMul', [state, w!]), number]);
  const goesOn = going === 'passed' ? on : body.constant(tensor('bool', [], [1]));
  body.output(goesOn, g.unique('goes'));
  body.output(next, g.unique('next'));
  body.output(body.op('Mul', [next, next]), g.unique('each'));
  const yes = g.constant(tensor('bool', [], [1]));
  return g.ops('Loop', [count, yes, v!], { body: attr.graph(body.build()) }, { outputs: 2 });
}

/** One branch has x·w, the other x + w·w; `condition` chooses. */
export function choice(g: GraphBuilder, [x, w]: string[], condition: string): string[] {
  const branch = (emit: (body: GraphBuilder) => string) => {
    const body = g.inner('branch');
    body.output(emit(body), g.unique('chosen'));
    return attr.graph(body.build());
  };
  const attributes = {
    then_branch: branch((b) => b.op('Mul', [x!, w!])),
    else_branch: branch((b) => b.op('Add', [x!, b.op('Mul', [w!, w!])])),
  };
  return g.ops('If', [condition], attributes);
}

const constant = (g: GraphBuilder, value: number) => g.constant(tensor('bool', [], [value]));

export const subgraphCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Scan: [
    { what: 'a recurrence', shapes, build: (g, x) => recurrence(g, x, 0) },
    { what: 'what it stacks alone', shapes, build: (g, x) => [recurrence(g, x, 0)[1]!] },
    { what: 'its last state alone', shapes, build: (g, x) => [recurrence(g, x, 0)[0]!] },
    {
      what: 'backwards, along other axes',
      shapes: [
        [2, 2],
        [2, 3, 2],
        [2, 2],
      ],
      build: (g, x) =>
        recurrence(g, x, 1, {
          scan_input_axes: attr.ints([1]),
          scan_output_axes: attr.ints([-1]),
          scan_input_directions: attr.ints([1]),
          scan_output_directions: attr.ints([1]),
        }),
    },
    {
      what: 'without states',
      shapes: [[3, 2], [2]],
      build: (g, [x, w]) => {
        const body = bodyOf(g, [], [[x!, 0]], (b, [each]) => [b.op('Mul', [each!, w!])]);
        return g.ops('Scan', [x!], { body, num_scan_inputs: attr.int(1) });
      },
    },
    {
      what: 'counters, states that pass through and one inside another',
      shapes: [[2], [3, 2, 2]],
      build: (g, [h, x]) => {
        const zero = g.scalar(0, 'int64');
        const body = bodyOf(g, [zero, h!], [[x!, 0]], (b, [count, state, rows]) => {
          const inner = bodyOf(b, [state!], [[rows!, 0]], (c, [sum, row]) => [
            c.op('Add', [c.op('Mul', [sum!, state!]), row!]),
          ]);
          const [last] = b.ops('Scan', [state!, rows!], { body: inner, num_scan_inputs: attr.int(1) });
          const scaled = b.op('Mul', [last!, b.op('CastLike', [count!, last!])]);
          return [b.op('Add', [count!, b.scalar(1, 'int64')]), state!, scaled];
        });
        return g.ops('Scan', [zero, h!, x!], { body, num_scan_inputs: attr.int(1) }, { outputs: 3 }).slice(1);
      },
    },
  ],
  Loop: [
    {
      what: 'a constant number of steps',
      shapes: [
        [1, 2],
        [2, 2],
      ],
      build: (g, x) => loop(g, x, g.scalar(3, 'int64'), 'constant'),
    },
    {
      what: 'as many steps as there are rows',
      shapes: [
        [3, 2],
        [2, 2],
      ],
      build: (g, x) => loop(g, x, g.op('Gather', [g.op('Shape', [x[0]!]), g.scalar(0, 'int64')]), 'passed'),
    },
  ],
  If: [
    { what: 'yes', shapes: [[2, 3], [3]], build: (g, x) => choice(g, x, constant(g, 1)) },
    { what: 'no', shapes: [[2, 3], [3]], build: (g, x) => choice(g, x, constant(g, 0)) },
    {
      what: 'by what is computed',
      shapes: [[2, 3], [3]],
      domain: (value) => Math.abs(value) + 0.1,
      build: (g, x) => {
        const sum = g.op('ReduceSum', [x[1]!], { keepdims: attr.int(0) });
        return choice(g, x, g.op('Greater', [sum, g.scalar(0, g.dtypeOf(sum) as NumericDType)]));
      },
    },
    {
      what: 'a value as it is, or none of them',
      shapes: [[2, 3]],
      build: (g, [x]) => {
        const then = g.inner('then');
        then.output(x!, g.unique('chosen'));
        const other = g.inner('else');
        other.output(
          other.op('ConstantOfShape', [other.op('Shape', [x!])], {
            value: attr.tensor(tensor(g.dtypeOf(x!) as NumericDType, [1], [2])),
          }),
          g.unique('chosen'),
        );
        const [y] = g.ops('If', [constant(g, 1)], {
          then_branch: attr.graph(then.build()),
          else_branch: attr.graph(other.build()),
        });
        return [g.op('Mul', [y!, x!])];
      },
    },
  ],
};
