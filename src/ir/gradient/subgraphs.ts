import type { GraphBuilder } from '../builder.js';
import {
  attr,
  numberAttribute,
  numbersAttribute,
  readsOf,
  subgraphsOf,
  type Graph,
  type Node,
} from '../graph.js';
import { renameReads } from '../rewrite.js';
import { numbersOf, tensor, type Tensor } from '../tensor.js';
import { emitScan } from './scan.js';
import { GradientSite, zerosLike, type Derivative, type GradientRule, type Seed } from './rule.js';

/** Emits the nodes of a subgraph into `g` under new names; `names` has those of its inputs, and gets the others. */
function inline(g: GraphBuilder, body: Graph, names: Map<string, string>): void {
  for (const [name, constant] of body.initializers) names.set(name, g.constant(constant, name));
  for (const node of body.nodes) {
    const [renamed] = renameReads({ ...body, nodes: [node] }, names).nodes as [Node];
    for (const name of node.outputs) if (name !== '') names.set(name, g.unique(name));
    const outputs = node.outputs.map((name) => names.get(name) ?? '');
    g.add({ ...renamed, name: node.name === '' ? '' : g.unique(node.name), outputs });
  }
}

const isReal = (site: GradientSite, name: string): boolean =>
  site.g.typeOf(name)?.dtype.includes('float') === true;

/** Values from outside that the loss's slope is wanted for. */
function movingCaptures(site: GradientSite): string[] {
  return site.captured.filter((name) => site.walk.moving.has(name) && isReal(site, name));
}

/**
 * Scan: a second one goes back over the steps. The first also keeps the states before each step, from which a step is worked
 * out again on the way back; gradients of what the body reads from outside are summed over the steps.
 */
const scan: GradientRule = (site) => {
  const { g, node, x, walk } = site;
  const [body] = subgraphsOf(node);
  const count = x.length - numberAttribute(node, 'num_scan_inputs', 0);
  if (body?.inputs.length !== x.length) return site.refuse('its body does not take what it is given');
  const stacked = body.outputs.length - count;
  const directions = (key: string) => numbersAttribute(node, key) ?? [];
  const [waysIn, waysOut] = [directions('scan_input_directions'), directions('scan_output_directions')];
  const [axesIn, axesOut] = [directions('scan_input_axes'), directions('scan_output_axes')];
  const captures = movingCaptures(site);
  const states = [...movingStates(body, site, count, captures)].filter((at) => isReal(site, x[at]!));
  const tracks = x.flatMap((name, at) =>
    at >= count && walk.moving.has(name) && isReal(site, name) ? [at] : [],
  );
  const before = keepStates(site, body, count);

  let results: string[] | undefined;
  const back = (): string[] => (results ??= emitBack());
  const emitBack = (): string[] => {
    const ends = states.map((at) => site.dys[at] ?? zerosLike(g, x[at]!));
    const sums = captures.map((name) => zerosLike(g, name));
    const given = Array.from({ length: stacked }, (_, at) => at).filter((at) => site.dys[count + at]);
    const read = [
      ...given.map((at) => ({
        name: site.dys[count + at]!,
        reverse: waysOut[at] !== 1,
        axis: axesOut[at] ?? 0,
      })),
      ...before.map((name) => ({ name, reverse: true })),
      ...x.slice(count).map((name, at) => ({ name, reverse: waysIn[at] !== 1, axis: axesIn[at] ?? 0 })),
    ];
    const trackOf = (output: number) => {
      const at = tracks[output]! - count;
      return { reverse: waysIn[at] !== 1, axis: axesIn[at] ?? 0 };
    };
    return emitScan(g, [...ends, ...sums], read, trackOf, (inner, carried, each) => {
      const names = new Map(body.inputs.map(({ name }, at) => [name, each[given.length + at]!]));
      inline(inner, body, names);
      const valueOf = (output: number): string => {
        const { name } = body.outputs[output]!;
        return names.get(name) ?? name;
      };
      const seeds: Seed[] = [
        ...states.map((at, index): Seed => [valueOf(at), carried[index]!]),
        ...given.map((at, index): Seed => [valueOf(count + at), each[index]!]),
      ];
      const inputOf = (at: number): string => names.get(body.inputs[at]!.name)!;
      const wanted = [...states.map(inputOf), ...tracks.map(inputOf), ...captures];
      const found = walk.pullBack(inner, seeds, wanted);
      const slopeOf = (name: string): string => found.get(name) ?? zerosLike(inner, name);
      return [
        ...states.map((at) => slopeOf(inputOf(at))),
        ...captures.map((name, index) => {
          const sofar = carried[states.length + index]!;
          const more = found.get(name);
          return more === undefined ? sofar : inner.op('Add', [sofar, more]);
        }),
        ...tracks.map((at) => slopeOf(inputOf(at))),
      ];
    });
  };
  const pick = (
    list: readonly (number | string)[],
    wanted: number | string,
    from: number,
  ): Derivative | undefined => {
    const at = list.indexOf(wanted);
    return at === -1 ? undefined : () => back()[from + at]!;
  };
  return [
    ...x.map((_, at) =>
      at < count ? pick(states, at, 0) : pick(tracks, at, states.length + captures.length),
    ),
    ...site.captured.map((name) => pick(captures, name, states.length)),
  ];
};

/** States that change with what is wanted, in whichever step. */
function movingStates(
  body: Graph,
  { x, walk }: GradientSite,
  count: number,
  captures: readonly string[],
): Set<number> {
  const states = new Set<number>();
  for (let size = -1; size !== states.size;) {
    size = states.size;
    const moving = new Set(captures);
    body.inputs.forEach(({ name }, at) => {
      if (walk.moving.has(x[at]!) || states.has(at)) moving.add(name);
    });
    for (const node of body.nodes) {
      if (readsOf(node).some((name) => moving.has(name))) for (const name of node.outputs) moving.add(name);
    }
    for (let at = 0; at < count; at++) {
      if (walk.moving.has(x[at]!) || moving.has(body.outputs[at]!.name)) states.add(at);
    }
  }
  return states;
}

/** Makes the Scan stack the states before each step, too. Returns what they are stacked in. */
function keepStates({ g, node }: GradientSite, body: Graph, count: number): string[] {
  const stacked = body.outputs.length - count;
  const kept = body.inputs.slice(0, count).map(({ name }) => g.unique(`${name}_before`));
  const before = kept.map((name) => g.unique(name));
  const identities = kept.map((name, at): Node => ({
    op: 'Identity',
    domain: '',
    name,
    inputs: [body.inputs[at]!.name],
    outputs: [name],
    attributes: {},
  }));
  const extended: Graph = {
    ...body,
    nodes: [...body.nodes, ...identities],
    outputs: [...body.outputs, ...kept.map((name) => ({ name }))],
  };
  const longer = (key: string) => {
    const values = numbersAttribute(node, key) ?? Array.from({ length: stacked }, () => 0);
    return attr.ints([...values, ...kept.map(() => 0)]);
  };
  const outputs = Array.from({ length: count + stacked }, (_, at) => {
    const name = node.outputs[at] ?? '';
    return name === '' ? g.unique('unread') : name;
  });
  g.replace(node, () => {
    g.add({
      ...node,
      outputs: [...outputs, ...before],
      attributes: {
        ...node.attributes,
        body: attr.graph(extended),
        scan_output_directions: longer('scan_output_directions'),
        scan_output_axes: longer('scan_output_axes'),
      },
    });
  });
  return before;
}

/** Loop: one that ends after a number of steps, whatever it computes, is a Scan over the numbers of the steps. */
const loop: GradientRule = (site) => {
  const { g, node, x, walk } = site;
  const [body] = subgraphsOf(node);
  if (!body || !site.has(0) || !isTrue(site, x[1] ?? '') || !goesOn(body, site)) {
    return site.refuse('its number of steps depends on what it computes');
  }
  const states = x.slice(2);
  const steps = { ...body.inputs[0]!, dtype: 'int64' as const, shape: [] };
  const [going] = body.outputs;
  const asScan: Graph = {
    ...body,
    inputs: [...body.inputs.slice(2), steps],
    outputs: body.outputs.slice(1),
    initializers: new Map([...body.initializers, [body.inputs[1]!.name, tensor('bool', [], [1])]]),
    nodes: body.nodes.filter(({ outputs }) => outputs.length !== 1 || outputs[0] !== going!.name),
  };
  let made: Node | undefined;
  g.replace(node, () => {
    const count = g.op('Reshape', [x[0]!, g.constant(tensor('int64', [0], []))]);
    const numbers = g.op('Range', [g.scalar(0, 'int64'), count, g.scalar(1, 'int64')]);
    made = {
      op: 'Scan',
      domain: '',
      name: node.name,
      inputs: [...states, numbers],
      outputs: node.outputs,
      attributes: { body: attr.graph(asScan), num_scan_inputs: attr.int(1) },
    };
    g.add(made);
  });
  states.forEach((name, at) => {
    const [was, is] = [g.typeOf(name)?.shape, asScan.outputs[at]?.shape];
    const differs = was?.length !== is?.length || was?.some((dim, axis) => isOther(dim, is![axis]));
    if (was && is && differs) site.refuse('what it carries changes its size from step to step');
  });
  const inner = new GradientSite(g, made!, site.dys, walk);
  const derivatives = scan(inner);
  const captured = new Map(inner.captured.map((name, at) => [name, derivatives[states.length + 1 + at]]));
  return [
    undefined,
    undefined,
    ...states.map((_, at) => derivatives[at]),
    ...site.captured.map((name) => captured.get(name)),
  ];
};

const isOther = (a: unknown, b: unknown): boolean =>
  typeof a === 'number' && typeof b === 'number' && a !== b;

/** Whether a condition that is given, or left out, is true. */
function isTrue(site: GradientSite, name: string): boolean {
  if (name === '') return true;
  const known = site.constantOf(name);
  return known !== undefined && Number(numbersOf(known)[0]) === 1;
}

/** Whether the body always says that there is a next step. */
function goesOn(body: Graph, site: GradientSite): boolean {
  let name = body.outputs[0]!.name;
  for (;;) {
    if (name === body.inputs[1]!.name) return true;
    const constant = body.initializers.get(name);
    if (constant) return isNotZero(constant);
    const node = body.nodes.find(({ outputs }) => outputs.includes(name));
    if (!node) return isTrue(site, name);
    const value = node.op === 'Constant' ? node.attributes['value'] : undefined;
    if (value?.type === 'tensor') return isNotZero(value.value);
    if (node.op !== 'Identity' && node.op !== 'Cast') return false;
    name = node.inputs[0]!;
  }
}

const isNotZero = (constant: Tensor): boolean => Number(numbersOf(constant)[0]) !== 0;

/** If: one with the same condition, whose branches give the gradients of all that either branch reads. */
const branch: GradientRule = (site) => {
  const { g, node, x, dys, walk } = site;
  const captures = movingCaptures(site);
  const emitBranch = (body: Graph): Graph => {
    const inner = g.inner('back');
    const names = new Map<string, string>();
    inline(inner, body, names);
    const seeds = body.outputs.flatMap(({ name }, at): Seed[] =>
      dys[at] === undefined ? [] : [[names.get(name) ?? name, dys[at]]],
    );
    const found = walk.pullBack(inner, seeds, captures);
    const made = new Set(inner.nodes.flatMap(({ outputs }) => outputs));
    for (const name of captures) {
      const slope = found.get(name) ?? zerosLike(inner, name);
      inner.output(slope, made.delete(slope) ? slope : g.unique('slope'));
    }
    return inner.build();
  };
  let results: string[] | undefined;
  const back = (): string[] =>
    (results ??= g.ops(
      'If',
      [x[0]!],
      Object.fromEntries(
        ['then_branch', 'else_branch'].map((key) => {
          const body = node.attributes[key];
          if (body?.type !== 'graph') return site.refuse(`it has no ${key}`);
          return [key, attr.graph(emitBranch(body.value))];
        }),
      ),
      { outputs: captures.length },
    ));
  return [
    undefined,
    ...site.captured.map((name) => {
      const at = captures.indexOf(name);
      return at === -1 ? undefined : () => back()[at]!;
    }),
  ];
};

export const subgraphGradients = { Scan: scan, Loop: loop, If: branch };
