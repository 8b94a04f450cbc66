import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import type { Column } from '../../../../data/dataset.js';
import { blocksKept, isStored, numbersOf } from '../../../../data/rows.js';
import type { TrainJob } from '../../../../plugin/api.js';
import { randomStream } from '../../random.js';
import { balancedRows, listMembers } from './balanced-rows.js';
import { shuffle, shuffledRows } from './random.js';

/** Rows of an epoch in random order: `count` of them, from the position `start` on. */
export type TakeOrder = (epoch: number, start: number, count: number) => Uint32Array;

/**
 * The order in which rows are trained on. In memory each order of the rows is as likely as any other. On disk, the blocks
 * of the table are shuffled, and then the rows of as many blocks as are kept in memory at a time: what lies on disk is in
 * the order of hashes, and so mixed already. A table of no more blocks than that is shuffled as in memory.
 */
export function openOrder(
  columns: readonly Column[],
  rows: number,
  { seed, sampling, dataset }: Pick<TrainJob, 'seed' | 'dataset' | 'sampling'>,
): TakeOrder {
  if (sampling === 'balanced') {
    const members = listMembers(numbersOf(dataset.splits.train.target));
    return keepEpoch((epoch) => balancedRows(members, rows, seed, epoch));
  }
  const blocks = columns.filter(isStored).map(({ data }) => data.block);
  const block = Math.min(...blocks);
  if (rows <= block * blocksKept || blocks.length === 0) {
    return keepEpoch((epoch) => shuffledRows(rows, seed, epoch));
  }
  let windows: { readonly epoch: number; readonly parts: readonly Part[] } | undefined;
  let current: { readonly part: Part; readonly order: Uint32Array } | undefined;
  return (epoch, start, count) => {
    if (windows?.epoch !== epoch) windows = { epoch, parts: shuffleBlocks(rows, block, seed, epoch) };
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

function shuffleWithin({ from, to, blocks, random }: Part): Uint32Array {
  const order = new Uint32Array(to - from);
  let at = 0;
  for (const { first, end } of blocks) for (let row = first; row < end; row++) order[at++] = row;
  // A copy: the same part may be wanted again.
  return shuffle(order, random.clone());
}
