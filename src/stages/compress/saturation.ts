import { MaasError } from '../../errors.js';
import { producersOf, type Model } from '../../ir/graph.js';
import { numbersOf } from '../../ir/tensor.js';
import { openModel } from '../../runtime/open-model.js';
import type { Feeds } from '../../runtime/session.js';
import { labelOf } from './passes/dense-layer.js';
import { tap } from './tap.js';

/** An activation whose values do not fit the range that calibration gave it. */
export interface Saturated {
  /** The node that gives it, or the input of the model. */
  readonly node: string;
  /** Share of its values that lie outside. */
  readonly share: number;
  /** The range that its integers stand for. */
  readonly range: readonly [low: number, high: number];
  /** The values that it takes. */
  readonly seen: readonly [low: number, high: number];
}

/** Outliers that calibration cut off on purpose are fewer. */
const leastShare = 0.01;

const bounds: Readonly<Record<string, readonly [number, number]>> = { uint8: [0, 255], int8: [-128, 127] };

/**
 * The activations that leave their fixed ranges on rows that calibration has not seen, the worst first: the sign of a
 * calibration on other data than the model gets.
 */
export async function findSaturated(model: Model, feeds: Feeds): Promise<Saturated[]> {
  const { graph } = model;
  const producers = producersOf(graph);
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const grids = new Map<string, { low: number; high: number; half: number }>();
  for (const { op, inputs: reads } of graph.nodes) {
    const [value = '', scaleName = '', zeroName = ''] = reads;
    const [scale, zero] = [graph.initializers.get(scaleName), graph.initializers.get(zeroName)];
    const ends = bounds[zero?.dtype ?? ''];
    if (op !== 'QuantizeLinear' || !scale || scale.dims.length > 0 || !zero || !ends) continue;
    const [step, offset] = [numbersOf(scale)[0]!, numbersOf(zero)[0]!];
    grids.set(value, { low: (ends[0] - offset) * step, high: (ends[1] - offset) * step, half: step / 2 });
  }
  const names = [...grids.keys()].filter((name) => !graph.initializers.has(name));
  if (names.length === 0) return [];
  const inner = names.filter((name) => !inputs.has(name));
  const session = await openModel(tap(model, inner));
  try {
    const found = inner.length > 0 ? await session.run(feeds, inner) : {};
    return names
      .flatMap((name) => {
        const { dtype, data } = found[name] ?? feeds[name]!;
        if (dtype !== 'float32') return [];
        const { low, high, half } = grids.get(name)!;
        const producer = producers.get(name);
        let [outside, least, most] = [0, Infinity, -Infinity];
        for (const value of data as Float32Array) {
          if (value < low - half || value > high + half) outside += 1;
          if (value < least) least = value;
          if (value > most) most = value;
        }
        const share = outside / Math.max(1, data.length);
        const node = producer ? labelOf(producer) : name;
        return [{ node, share, range: [low, high] as const, seen: [least, most] as const }];
      })
      .filter(({ share }) => share >= leastShare)
      .sort((one, other) => other.share - one.share);
  } finally {
    await session.close();
  }
}

/** `findSaturated` for a message: what cannot be measured is left out, for it must not hide the message. */
export async function trySaturated(...parameters: Parameters<typeof findSaturated>): Promise<Saturated[]> {
  try {
    return await findSaturated(...parameters);
  } catch (error) {
    if (error instanceof MaasError) return [];
    throw error;
  }
}

/** Of more than these a message names the worst only. */
const mostNamed = 4;

/** `relu3 (34 % of its values: −3 to 12 in a range of −1 to 2)`. */
export function describeSaturated(all: readonly Saturated[]): string {
  const show = (value: number): string => String(Number(value.toPrecision(3)));
  const named = all.slice(0, mostNamed).map(({ node, share, range, seen }) => {
    const [is, may] = [seen.map(show).join(' to '), range.map(show).join(' to ')];
    return `${node} (${show(share * 100)} % of its values: ${is} in a range of ${may})`;
  });
  const rest = all.length - named.length;
  return `${named.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
