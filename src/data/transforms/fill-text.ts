import { stringTensor } from '../../ir/tensor.js';
import type { Feature } from '../signature.js';
import type { Site } from './transform.js';

/** String [N, 1] → string [N, 1] with what stands for a missing text in its place. */
export function emitFill({ g }: Pick<Site, 'g'>, x: string, { missing }: Feature): string {
  if (!missing) return x;
  const fill = String(missing.fill);
  const constant = (text: string) => g.constant(stringTensor([1, 1], [text]), 'text');
  const written = [...new Set(['', ...missing.written])].filter((text) => text !== fill);
  if (written.length === 0) return x;
  const isMissing = written
    .map((text) => g.op('Equal', [x, constant(text)]))
    .reduce((one, other) => g.op('Or', [one, other]));
  return g.op('Where', [isMissing, constant(fill), x]);
}
