/** Edit distance with insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, before[j - 2]! + 1);
      row.push(best);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}

/** The known name that `name` is most likely a misspelling of; case, spaces and dashes count for nothing. */
export function closest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replace(/[\s_-]/g, '');
  const allowed = Math.max(1, Math.floor(name.length / 3));
  const sought = plain(name);
  const ranked = known
    .map((candidate) => ({ candidate, text: plain(candidate) }))
    // The distance is at least that of the lengths: a name may be a caller's, and longer than anybody has time for.
    .filter(({ text }) => Math.abs(text.length - sought.length) <= allowed)
    .map(({ candidate, text }) => ({ candidate, edits: distance(sought, text) }))
    .sort((a, b) => a.edits - b.edits);
  return ranked[0] && ranked[0].edits <= allowed ? ranked[0].candidate : undefined;
}

/** A hint for a misspelt name, or undefined when nothing comes near it. */
export function didYouMean(name: string, known: readonly string[]): string | undefined {
  const near = closest(name, known);
  return near === undefined ? undefined : `Did you mean "${near}"?`;
}
