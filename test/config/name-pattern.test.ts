import { expect, it } from 'vitest';
import { matchesAny } from '../../src/config/index.js';

it('patterns match whole names', () => {
  expect(matchesAny('/encoder/layer.0/dense', ['/encoder/*/dense'])).toBe(true);
  expect(matchesAny('/encoder/layer.0/dense', ['layer'])).toBe(false);
  expect(matchesAny('a.b', ['a?b'])).toBe(false);
  expect(matchesAny('a.b', [])).toBe(false);
});
