const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const missing = /^(?:|\?|-|na|n\/a|nan|null|none|nil|missing)$/i;
/** Among texts only what is no word: somebody's category may well be "none" or "missing". */
const missingText = /^(?:|\?|na|n\/a|nan|null)$/i;
const infinite = /^[+-]?inf(?:inity)?$/i;

export type CellKind = 'number' | 'missing' | 'infinite' | 'text';

/** What a cell says, taken as a number. */
export function kindOf(text: string): CellKind {
  const cell = text.trim();
  if (decimal.test(cell)) return 'number';
  if (missing.test(cell)) return 'missing';
  return infinite.test(cell) ? 'infinite' : 'text';
}

/** Whether a cell of a column of texts says that there is no value. */
export function isMissingText(text: string): boolean {
  return missingText.test(text.trim());
}

/** Why a cell cannot be an element of a float32 tensor, or undefined when it can. */
export function whyNoNumber(cell: string): string | undefined {
  switch (kindOf(cell)) {
    case 'missing':
      return whyMissing(cell);
    case 'infinite':
      return `is not finite (${quote(cell)})`;
    case 'text':
      return `is no number (${quote(cell)})`;
    case 'number':
      return Number.isFinite(Math.fround(Number(cell))) ? undefined : `is too large for a float32 (${cell})`;
  }
}

/** How a message calls a cell without a value. */
export function whyMissing(cell: string): string {
  return cell === '' ? 'is empty' : `has no value (${quote(cell)})`;
}

function quote(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 40)}…` : cell);
}
