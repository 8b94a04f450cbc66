import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { loadProject } from '../../src/config/index.js';
import { MaasError } from '../../src/errors.js';
import { renderError } from '../../src/ui/print-error.js';
import { builtIns } from './built-ins.js';

const folder = fileURLToPath(new URL('../golden/config/', import.meta.url));
const registry = await builtIns();
const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));

it.each(files)('explains what is wrong with %s', async (file) => {
  const error: unknown = await loadProject({
    file: folder + file,
    env: { NUMBER: '7' },
    registry,
  }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MaasError);
  const text = renderError(error, { color: false }).replaceAll(folder, '') + '\n';
  await expect(text).toMatchFileSnapshot(`${folder}${basename(file, '.yaml')}.txt`);
});
