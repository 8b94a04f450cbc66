import { expect, it } from 'vitest';
import { sparkline } from '../../src/ui/sparkline.js';

it('draws the least lowest and the greatest highest', () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe('▁▂▃▄▅▆▇█');
  expect(sparkline([5, 1])).toBe('█▁');
  expect(sparkline([2, 2, 2])).toBe('▁▁▁');
  expect(sparkline([])).toBe('');
});

it('leaves gaps, and draws many numbers together', () => {
  expect(sparkline([1, NaN, 0, Infinity])).toBe('█ ▁ ');
  expect(sparkline([NaN])).toBe(' ');
  expect(sparkline([9, 7, 4, 4, 0, 0], 3)).toBe('█▅▁');
  const many = Array.from({ length: 1000 }, (_, at) => -at);
  expect(sparkline(many)).toHaveLength(12);
  expect(sparkline(many)).toMatch(/^█.*▁$/);
});
