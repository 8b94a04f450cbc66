/** Mean of `count` terms; 0 of none. */
export function mean(count: number, termOf: (index: number) => number): number {
  let sum = 0;
  for (let index = 0; index < count; index++) sum += termOf(index);
  return count === 0 ? 0 : sum / count;
}
