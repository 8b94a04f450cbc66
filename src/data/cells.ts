const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const missing = /^(?:|\?|-|na|n\/a|nan|null|none|nil|missing)$/i;
const infinite = /^[+-]?inf(?:inity)?$/i;

export type CellKind = 'number' | 'missing' | 'infinite' | 'text';

/** What a cell says, taken as a number. */
export function kindOf(text: string): CellKind {
  const cell = text.trim();
  if (decimal.test(cell)) return 'number';
  if (missing.test(cell)) return 'missing';
  return infinite.test(cell) ? 'infinite' : 'text';
}

/** Why a cell cannot be an element of a float32 tensor, or undefined when it can. */
export function whyNoNumber(cell: string): string | undefined {
  switch (kindOf(cell)) {
    case 'missing':
      return cell === '' ? 'is empty' : `has no value (${quote(cell)})`;
    case 'infinite':
      return `is not finite (${quote(cell)})`;
    case 'text':
      return `is no number (${quote(cell)})`;
    case 'number':
      return Number.isFinite(Math.fround(Number(cell))) ? undefined : `is too large for a float32 (${cell})`;
  }
}

function quote(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 40)}…` : cell);
}
