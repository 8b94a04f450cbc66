import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import type { Column } from '../../../../data/dataset.js';
import { blocksKept, isStored, numbersOf, partsOf } from '../../../../data/rows.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { randomStream } from '../../random.js';
import { balancedRows, listMembers, openCopies } from './balanced-rows.js';
import { shuffle, shuffledRows } from './random.js';

/** Rows of an epoch in random order: `count` of them, from the position `start` on. */
export type TakeOrder = (epoch: number, start: number, count: number) => Uint32Array;

/**
 * The order in which rows are trained on. In memory each order of the rows is as likely as any other. On disk, the blocks
 * of the table are shuffled, and then the rows of as many blocks as are kept in memory at a time: what lies on disk is in
 * the order of hashes, and so mixed already. A table of no more blocks than that is shuffled as in memory. Classes are
 * balanced over the whole epoch.
 */
export function openOrder(
  columns: readonly Column[],
  rows: number,
  { seed, sampling, dataset }: Pick<TrainJob, 'seed' | 'dataset' | 'sampling'>,
): TakeOrder {
  const { target } = dataset.splits.train;
  const blocks = columns.filter(isStored).map(({ data }) => data.block);
  const block = Math.min(...blocks);
  const isBalanced = sampling === 'balanced';
  if (rows <= block * blocksKept || blocks.length === 0) {
    if (!isBalanced) return keepEpoch((epoch) => shuffledRows(rows, seed, epoch));
    const members = listMembers(numbersOf(target));
    return keepEpoch((epoch) => balancedRows(members, rows, seed, epoch));
  }
  const classes = isBalanced ? readClasses(target) : undefined;
  const partsFor = (epoch: number): readonly Part[] => {
    const parts = shuffleBlocks(rows, block, seed, epoch);
    return classes ? balanceParts(parts, classes, seed, epoch) : parts;
  };
  let windows: { readonly epoch: number; readonly parts: readonly Part[] } | undefined;
  let current: { readonly part: Part; readonly order: Uint32Array } | undefined;
  return (epoch, start, count) => {
    if (windows?.epoch !== epoch) windows = { epoch, parts: partsFor(epoch) };
    const taken = new Uint32Array(count);
    for (let at = 0; at < count;) {
      const part = windows.parts.find(({ from, to }) => from <= start + at && start + at < to)!;
      if (current?.part !== part) current = { part, order: shuffleWithin(part) };
      const more = current.order.subarray(start + at - part.from, start + count - part.from);
      taken.set(more, at);
      at += more.length;
    }
    return taken;
  };
}

/** Takes from the order of a whole epoch, which is made when the first of it is asked for. */
function keepEpoch(orderOf: (epoch: number) => Uint32Array): TakeOrder {
  let whole: { readonly epoch: number; readonly order: Uint32Array } | undefined;
  return (epoch, start, count) => {
    if (whole?.epoch !== epoch) whole = { epoch, order: orderOf(epoch) };
    return whole.order.subarray(start, start + count);
  };
}

/** Rows that are mixed with each other, at the positions `from` to `to` of an epoch. */
interface Part {
  readonly from: number;
  readonly to: number;
  /** First row of each block, and the row behind its last. */
  readonly blocks: readonly { readonly first: number; readonly end: number }[];
  readonly random: RandomGenerator;
  /** How often each row comes, asked for once for each, in order; once, where it is left out. */
  readonly copies?: () => (row: number) => number;
}

function shuffleBlocks(rows: number, block: number, seed: number, epoch: number): Part[] {
  const order = shuffledRows(Math.ceil(rows / block), seed, epoch);
  const parts: Part[] = [];
  for (let at = 0, from = 0; at < order.length; at += blocksKept) {
    const blocks = Array.from(order.subarray(at, at + blocksKept), (index) => ({
      first: index * block,
      end: Math.min(rows, (index + 1) * block),
    }));
    const to = blocks.reduce((sum, { first, end }) => sum + end - first, from);
    parts.push({ from, to, blocks, random: randomStream(seed, `shuffle/${epoch}`, at) });
    from = to;
  }
  return parts;
}

function shuffleWithin({ from, to, blocks, random, copies }: Part): Uint32Array {
  const order = new Uint32Array(to - from);
  const copiesOf = copies?.() ?? (() => 1);
  let at = 0;
  for (const { first, end } of blocks) {
    for (let row = first; row < end; row++)
      for (let left = copiesOf(row); left > 0; left--) order[at++] = row;
  }
  // A copy: the same part may be wanted again.
  return shuffle(order, random.clone());
}

/** The same parts with as many rows of each class, over all of them. */
function balanceParts(
  parts: readonly Part[],
  classes: Uint8Array | Uint32Array,
  seed: number,
  epoch: number,
): Part[] {
  const countCopies = openCopies(classes, seed, epoch);
  const seen = new Map<number, number>();
  let from = 0;
  return parts.map((part) => {
    const before = new Map(seen);
    const copies = () => countCopies(new Map(before));
    const copiesOf = countCopies(seen);
    let to = from;
    for (const { first, end } of part.blocks) for (let row = first; row < end; row++) to += copiesOf(row);
    const balanced = { ...part, from, to, copies };
    from = to;
    return balanced;
  });
}

/** Class of each row. */
function readClasses(target: Column): Uint8Array | Uint32Array {
  const parts = [...partsOf(target)].map(({ data }) => Uint32Array.from(data as ArrayLike<bigint>, Number));
  const narrow = parts.every((part) => part.every((index) => index < 256));
  const classes = narrow ? new Uint8Array(target.dims[0]!) : new Uint32Array(target.dims[0]!);
  let at = 0;
  for (const part of parts) {
    classes.set(part, at);
    at += part.length;
  }
  return classes;
}
