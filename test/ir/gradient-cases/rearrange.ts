import { attr, type Attributes } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import type { GraphBuilder } from '../../../src/ir/builder.js';
import type { GradientCase } from '../gradient-cases.js';

type Numbers = readonly number[];

const of =
  (op: string, more: Partial<GradientCase> = {}) =>
  (
    what: string,
    shapes: readonly Numbers[],
    attributes: Attributes = {},
    ...inputs: readonly ((g: GraphBuilder) => string)[]
  ): GradientCase => ({
    what,
    shapes,
    build: (g, x) => g.ops(op, [...x, ...inputs.map((input) => input(g))], attributes),
    ...more,
  });

const integers =
  (values: Numbers, dims: Numbers = [values.length]) =>
  (g: GraphBuilder) =>
    g.constant(tensor('int64', dims, values.map(BigInt)));
const floats = (values: Numbers) => (g: GraphBuilder) =>
  g.constant(tensor('float32', [values.length], values));
const none = () => '';
const int = attr.int;

const pad = of('Pad');
const copies = of('Pad', { sized: true });
const tile = of('Tile', { sized: true });
const sum = of('CumSum');
const triangle = of('Trilu');
const gather = of('GatherND');
const depth = of('DepthToSpace', { sized: true });
const space = of('SpaceToDepth', { sized: true });
const resize = of('Resize', { sized: true });
const einsum = (equation: string, ...shapes: Numbers[]): GradientCase =>
  of('Einsum')(equation, shapes, { equation: attr.string(equation) });

const scatter = (what: string, attributes: Attributes, indices: Numbers): GradientCase => ({
  what,
  shapes: [
    [3, 2],
    [2, 2],
  ],
  build: (g, [data, updates]) =>
    g.ops('ScatterElements', [data!, integers(indices, [2, 2])(g), updates!], attributes),
});

export const rearrangementCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Pad: [
    pad('both ends', [[2, 3]], {}, integers([0, 1, 1, 2])),
    pad('cut on one side', [[2, 4]], {}, integers([0, -1, 0, 2])),
    copies('by reflection', [[2, 4]], { mode: attr.string('reflect') }, integers([0, 3, 0, 2])),
    copies('by its edges', [[2, 3]], { mode: attr.string('edge') }, integers([0, 2, 0, 1])),
    copies('around', [[2, 3]], { mode: attr.string('wrap') }, integers([0, 2, 0, 1])),
    pad('some axes', [[2, 2, 2]], {}, integers([1, 0]), none, integers([-1])),
    {
      what: 'a filling that is trained',
      shapes: [[2, 2], []],
      build: (g, [x, filling]) => g.ops('Pad', [x!, integers([1, 0, 0, 1])(g), filling!]),
    },
  ],
  Tile: [tile('two axes', [[2, 3]], {}, integers([2, 3])), tile('a vector', [[3]], {}, integers([2]))],
  CumSum: [
    sum('columns', [[2, 3]], {}, integers([1], [])),
    sum('backwards, without itself', [[3, 2]], { exclusive: int(1), reverse: int(1) }, integers([0], [])),
  ],
  Trilu: [
    triangle('upper', [[2, 3, 3]]),
    triangle('lower, with a diagonal above', [[3, 3]], { upper: int(0) }, integers([1], [])),
  ],
  TopK: [
    { what: 'two of each row', shapes: [[2, 4]], build: (g, [x]) => topValues(g, x!, 2, -1) },
    { what: 'the largest of each column', shapes: [[3, 2]], build: (g, [x]) => topValues(g, x!, 1, 0) },
  ],
  ScatterElements: [
    scatter('put', {}, [0, 1, 2, 2]),
    scatter('added, twice in one place', { reduction: attr.string('add') }, [1, 0, 1, 2]),
  ],
  GatherND: [
    gather('elements', [[2, 3]], {}, integers([0, 1, 1, 2, 0, 1], [3, 2])),
    gather('rows', [[3, 2]], {}, integers([2, 0, 2], [3, 1])),
  ],
  DepthToSpace: [
    depth('depth first', [[1, 8, 1, 2]], { blocksize: int(2) }),
    depth('column first', [[2, 8, 1, 2]], { blocksize: int(2), mode: attr.string('CRD') }),
  ],
  SpaceToDepth: [space('blocks', [[2, 2, 2, 4]], { blocksize: int(2) })],
  Resize: [
    resize('nearest, twice', [[2, 1, 2, 3]], {}, none, floats([1, 1, 2, 2])),
    resize('nearest, a sequence', [[2, 2, 3]], {}, none, floats([1, 1, 3])),
    resize('nearest, to a size', [[1, 1, 5, 4]], {}, none, none, integers([1, 1, 3, 7])),
    resize('linear, twice', [[2, 1, 2, 3]], { mode: attr.string('linear') }, none, floats([1, 1, 2, 2])),
    resize(
      'linear, aligned corners',
      [[1, 2, 3, 2]],
      { mode: attr.string('linear'), coordinate_transformation_mode: attr.string('align_corners') },
      none,
      none,
      integers([1, 2, 5, 4]),
    ),
    resize(
      'linear, smaller',
      [[1, 1, 6, 5]],
      { mode: attr.string('linear') },
      none,
      floats([1, 1, 0.5, 0.7]),
    ),
    resize('cubic', [[1, 1, 4, 4]], { mode: attr.string('cubic') }, none, floats([1, 1, 1.5, 2])),
    resize('two axes named', [[1, 2, 2, 3]], { axes: attr.ints([2, 3]) }, none, none, integers([4, 3])),
  ],
  Einsum: [
    einsum('ij,jk->ik', [2, 3], [3, 2]),
    einsum('bqhd,bkhd->bhqk', [1, 2, 2, 3], [1, 3, 2, 3]),
    einsum('bij,bjk->ik', [2, 2, 3], [2, 3, 2]),
    einsum('i,j->ij', [3], [2]),
    einsum('ij->j', [3, 2]),
    einsum('ij->ji', [3, 2]),
    einsum('ij,ij', [2, 3], [2, 3]),
    einsum('ij,jk,kl->il', [2, 2], [2, 3], [3, 2]),
  ],
};

function topValues(g: GraphBuilder, x: string, count: number, axis: number): string[] {
  return g.ops('TopK', [x, g.int64s([count])], { axis: int(axis) }, { outputs: 2 }).slice(0, 1);
}
