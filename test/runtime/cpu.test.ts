import { expect, it } from 'vitest';
import { describeMisfit, instructionSetOf } from '../../src/runtime/cpu.js';

it.each([
  ['x64', ['avx', 'avx2', 'avx512_vnni'], 'avx512-vnni'],
  ['x64', ['avx2', 'avx_vnni'], 'avx512-vnni'],
  ['x64', ['avx', 'avx2', 'avx512f'], 'avx2'],
  ['x64', [], undefined],
  ['arm64', ['asimddp'], 'arm64'],
  ['arm64', [], 'arm64'],
  ['riscv64', [], undefined],
] as const)('%s with %j counts as %s', (arch, features, set) => {
  expect(instructionSetOf({ arch, features })).toBe(set);
});

it('tells what becomes of a model elsewhere', () => {
  expect(describeMisfit('avx512-vnni', 'avx2')).toMatch(/may overflow.*--target avx2$/);
  expect(describeMisfit('avx2', 'arm64')).not.toMatch(/overflow/);
  expect(describeMisfit('avx2', 'avx2')).toBeUndefined();
  expect(describeMisfit('avx2', undefined)).toBeUndefined();
  expect(describeMisfit(undefined, 'avx2')).toBeUndefined();
});
