import { sizeOf, type NdArray, type TypedArray } from '../../../ir/tensor.js';
import type { Feeds } from '../../../runtime/session.js';
import type { Outputs } from '../batcher.js';
import type { Golden } from '../golden.js';
import { takeRows } from '../../../runtime/rows.js';
import type { Ports } from '../check-inputs.js';
import { findChange, isReal } from './find-change.js';
import { Padder } from './padder.js';
import { openDimensions, type PaddedAxes, type PaddedInput, type PaddingPlan } from './plan.js';

/** Rows that padding is tried with. */
const mostRows = 3;

export type Run = (feeds: Feeds) => Promise<Outputs>;

/** Requests of different lengths, and the answer to each of them alone. */
interface Sample {
  readonly requests: readonly Feeds[];
  readonly answers: readonly Outputs[];
}

/**
 * Runs golden rows alone, and padded beside a longer one: only where each gets the same answer may callers' rows be padded.
 * @returns the plan, with those outputs that were seen to be as long as the inputs although their dimension has another
 * name; or why nothing is to be padded.
 */
export async function judgePadding(
  run: Run,
  { ports, golden }: { readonly ports: Ports; readonly golden: Golden },
  plan: PaddingPlan,
): Promise<PaddingPlan | string> {
  const sample = await takeSample(run, golden, plan);
  if (!sample) return 'it takes no rows that it could be tried with';
  const { requests, answers } = sample;
  const whole = learnOutputs(plan, sample, ports);
  const padder = new Padder(whole);
  let parts: Outputs[] | undefined;
  try {
    parts = padder.split(
      await run(padder.join(requests)),
      requests,
      requests.map(() => 1),
    );
  } catch (error) {
    return `it cannot run padded: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (!parts) return 'its answer to a padded run has another shape';
  const numbers = new Set(Object.keys(answers[0]!).filter((name) => isReal(answers[0]![name]!)));
  if (numbers.size === 0) return 'its answers hold no real numbers, in which a small difference would show';
  for (const [index, part] of parts.entries()) {
    const difference = findChange(part, answers[index]!, golden.tolerance);
    if (difference !== undefined) return `padding changes an answer (${difference})`;
  }
  return whole;
}

/** Rows beside one that is longer by half, or, of a model that takes no longer ones, rows cut in half beside a whole one. */
async function takeSample(run: Run, golden: Golden, plan: PaddingPlan): Promise<Sample | undefined> {
  const count = Math.min(mostRows, Object.values(golden.inputs)[0]?.dims[0] ?? 0);
  const rows = Array.from({ length: count }, (_, row) =>
    mapArrays(golden.inputs, (array) => takeRows(array, row, 1)),
  );
  const [first] = rows;
  if (!first) return undefined;
  const scale = (row: Feeds, factor: number): Feeds =>
    mapArrays(row, (array, name) => {
      const axes = plan.inputs.get(name)?.axes;
      return axes ? repeat(array, axes, factor) : array;
    });
  for (const requests of [
    [...rows, scale(first, 1.5)],
    [...rows.map((row) => scale(row, 0.5)), first],
  ]) {
    try {
      const answers: Outputs[] = [];
      for (const request of requests) answers.push(await run(request));
      return { requests, answers };
    } catch {
      // It takes rows of its golden length, and maybe of no other.
    }
  }
  return undefined;
}

/** Exporters name the sizes of outputs as they like: one that goes with the length of the inputs is of that length. */
function learnOutputs(plan: PaddingPlan, { requests, answers }: Sample, ports: Ports): PaddingPlan {
  const [dimension, ...others] = plan.dimensions;
  // With several, nobody could tell which of them it was.
  if (!dimension || others.length > 0) return plan;
  const lengths = requests.map((request) => lengthOf(plan, request));
  const named = openDimensions(ports);
  const outputs = ports.outputs.map(({ name, shape }): [string, PaddedAxes] => {
    const axes = shape.flatMap((dim, axis) => {
      const isOpen = axis > 0 && typeof dim === 'string' && !named.includes(dim);
      const follows = isOpen && answers.every((answer, index) => answer[name]?.dims[axis] === lengths[index]);
      return follows || dim === dimension.name ? [[axis, dimension] as const] : [];
    });
    return [name, new Map(axes)];
  });
  return { ...plan, outputs: new Map(outputs.filter(([, axes]) => axes.size > 0)) };
}

/** Length of a request along the one dimension that is padded. */
function lengthOf({ inputs }: PaddingPlan, request: Feeds): number {
  const [[name, { axes }]] = [...inputs] as [[string, PaddedInput]];
  const [axis] = [...axes.keys()] as [number];
  return request[name]!.dims[axis]!;
}

/** The array with so many times its length along some axes: values come again from the beginning. At least one of each. */
function repeat(array: NdArray, axes: PaddedAxes, factor: number): NdArray {
  return [...axes.keys()].reduce((grown, axis) => repeatAlong(grown, axis, factor), array);
}

function repeatAlong({ dtype, dims, data }: NdArray, axis: number, factor: number): NdArray {
  const length = dims[axis]!;
  const wanted = Math.ceil(length * factor);
  const inner = sizeOf(dims.slice(axis + 1));
  const order = Array.from({ length: sizeOf(dims.slice(0, axis)) * wanted * inner }, (_, at) => {
    const [block, within] = [Math.floor(at / (wanted * inner)), at % (wanted * inner)];
    return block * length * inner + (Math.floor(within / inner) % length) * inner + (within % inner);
  });
  const grown = dims.map((dim, at) => (at === axis ? wanted : dim));
  if (dtype === 'string') return { dtype, dims: grown, data: order.map((at) => (data as string[])[at]!) };
  const values = data as TypedArray;
  const room = new (values.constructor as new (length: number) => TypedArray)(order.length);
  for (const [to, from] of order.entries()) room[to] = values[from]!;
  return { dtype, dims: grown, data: room as never };
}

function mapArrays(
  arrays: Feeds,
  change: (array: NdArray, name: string) => NdArray,
): Record<string, NdArray> {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, change(array, name)]));
}
