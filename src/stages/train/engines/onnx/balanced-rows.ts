import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { randomStream } from '../../random.js';
import { shuffle } from './random.js';

/** The rows of each class that has any. @param classes Class of each row. */
export function listMembers(classes: readonly number[]): Uint32Array[] {
  const lists = new Map<number, number[]>();
  for (const [row, index] of classes.entries()) {
    const list = lists.get(index);
    if (list) list.push(row);
    else lists.set(index, [row]);
  }
  return [...lists].sort(([a], [b]) => a - b).map(([, list]) => Uint32Array.from(list));
}

/**
 * As many rows as an epoch has, in random order, of each class as many as of any other or one less. Within its class a
 * row comes as often as any other or once less, in another choice each epoch.
 */
export function balancedRows(
  members: readonly Uint32Array[],
  rows: number,
  seed: number,
  epoch: number,
): Uint32Array {
  const order = new Uint32Array(rows);
  const classes = members.length;
  let at = 0;
  for (const [place, list] of members.entries()) {
    const wanted = dueTo(place, { rows, classes, epoch });
    const mixed = shuffle(list.slice(), randomStream(seed, `balance/${epoch}`, place));
    for (let count = 0; count < wanted; count++) order[at++] = mixed[count % mixed.length]!;
  }
  return shuffle(order, randomStream(seed, 'shuffle', epoch));
}

/**
 * The same for rows that are gone through in an order of their own, each class as it comes: of its n rows the i-th has
 * ⌊(i + 1)·r + o⌋ − ⌊i·r + o⌋ copies, where r·n is what the class is due, and o is drawn for each epoch.
 * @param classes Class of each row.
 * @returns How often a row comes, asked for once for each row, in order. `seen` counts the rows of each class.
 */
export function openCopies(
  classes: Uint8Array | Uint32Array,
  seed: number,
  epoch: number,
): (seen: Map<number, number>) => (row: number) => number {
  const counts = new Map<number, number>();
  for (const index of classes) counts.set(index, (counts.get(index) ?? 0) + 1);
  const sizes = [...counts].sort(([a], [b]) => a - b);
  const sums = new Map(
    sizes.map(([index, count], place) => {
      const wanted = dueTo(place, { rows: classes.length, classes: sizes.length, epoch });
      const offset = uniformInt(randomStream(seed, `balance/${epoch}`, place), 0, 2 ** 24 - 1) / 2 ** 24;
      const rate = wanted / count;
      return [index, (at: number) => (at === count ? wanted : Math.floor(at * rate + offset))] as const;
    }),
  );
  return (seen) => (row) => {
    const index = classes[row]!;
    const at = seen.get(index) ?? 0;
    seen.set(index, at + 1);
    const sum = sums.get(index)!;
    return sum(at + 1) - sum(at);
  };
}

/** Rows of a class in an epoch. Which classes have one more changes with the epoch. */
function dueTo(
  place: number,
  { rows, classes, epoch }: { readonly rows: number; readonly classes: number; readonly epoch: number },
): number {
  return Math.floor(rows / classes) + ((place + epoch) % classes < rows % classes ? 1 : 0);
}
