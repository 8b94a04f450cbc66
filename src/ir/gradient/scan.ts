import type { GraphBuilder } from '../builder.js';
import { attr } from '../graph.js';
import { slice } from '../shapes/subgraphs.js';

/** Something that a Scan goes along, or stacks: from its end on if `reverse`. */
export interface Track {
  readonly reverse: boolean;
  /** Default 0. */
  readonly axis?: number;
}

export interface ScanInput extends Track {
  readonly name: string;
}

/**
 * Emits a Scan.
 * @param track Of each output that is stacked, by its number among them.
 * @param emit Emits the body; returns the next states, then what is stacked.
 * @returns the last states, then what was stacked.
 */
export function emitScan(
  g: GraphBuilder,
  states: readonly string[],
  inputs: readonly ScanInput[],
  track: (output: number) => Track,
  emit: (body: GraphBuilder, states: readonly string[], inputs: readonly string[]) => readonly string[],
): string[] {
  const body = g.inner('step');
  const declare = (name: string, axis?: number): string => {
    const type = axis === undefined ? g.typeOf(name) : slice(g.typeOf(name), axis);
    return body.input(g.unique('each'), type?.dtype, type?.shape);
  };
  const written = emit(
    body,
    states.map((name) => declare(name)),
    inputs.map(({ name, axis = 0 }) => declare(name, axis)),
  );
  // Each output of a body is a value of its own, made by a node of it.
  const made = new Set(body.nodes.flatMap((node) => node.outputs));
  for (const name of written) body.output(name, made.delete(name) ? name : g.unique('step'));
  const stacked = written.slice(states.length).map((_, at) => track(at));
  const ways = (tracks: readonly Track[]) => attr.ints(tracks.map(({ reverse }) => (reverse ? 1 : 0)));
  const axes = (tracks: readonly Track[]) => attr.ints(tracks.map(({ axis = 0 }) => axis));
  return g.ops(
    'Scan',
    [...states, ...inputs.map(({ name }) => name)],
    {
      body: attr.graph(body.build()),
      num_scan_inputs: attr.int(inputs.length),
      scan_input_directions: ways(inputs),
      scan_output_directions: ways(stacked),
      ...(inputs.some(({ axis }) => axis) && { scan_input_axes: axes(inputs) }),
      ...(stacked.some(({ axis }) => axis) && { scan_output_axes: axes(stacked) }),
    },
    { outputs: written.length },
  );
}
