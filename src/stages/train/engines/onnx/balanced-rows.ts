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
    // Which classes have one more changes with the epoch.
    const more = (place + epoch) % classes < rows % classes ? 1 : 0;
    const wanted = Math.floor(rows / classes) + more;
    const mixed = shuffle(list.slice(), randomStream(seed, `balance/${epoch}`, place));
    for (let count = 0; count < wanted; count++) order[at++] = mixed[count % mixed.length]!;
  }
  return shuffle(order, randomStream(seed, 'shuffle', epoch));
}
