import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tfjsLoader } from '../../src/runtime/load-tfjs.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-load-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('gives TensorFlow.js what Node.js 22 warns of and 23 has no more', async () => {
  await writeFile(join(folder, 'package.json'), '{"main":"index.js"}');
  // As tfjs-node asks.
  const script = `const util = require('util');
    module.exports = [util.isArray([]), util.isArray({}), util.isNullOrUndefined(null), util.isNullOrUndefined(0)];`;
  await writeFile(join(folder, 'index.js'), script);
  const program = `console.log(JSON.stringify((${tfjsLoader.toString()})(${JSON.stringify(folder)})))`;
  const { stdout } = await execa(process.execPath, ['--throw-deprecation', '-e', program]);
  expect(JSON.parse(stdout)).toEqual([true, false, true, false]);
});
