import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { ModelHost } from '../../../src/stages/serve/model-host.js';
import { FolderRepository } from '../../../src/stages/serve/repository/repository.js';

it.each([
  ['tells of a version that cannot be loaded', false],
  ['says nothing of a version that is taken away while it is to be loaded', true],
])('%s', async (_title, goes) => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-repository-'));
  for (const version of ['1', '2']) {
    await mkdir(join(folder, 'm', version), { recursive: true });
    await writeFile(join(folder, 'm', version, 'model.onnx'), 'x');
  }
  const warnings: string[] = [];
  const latest: unknown[] = [];
  // The host's part: entries that load what the repository opens.
  const host = {
    enrol: (
      { name, version }: { name: string; version: string },
      { open }: { open: () => Promise<unknown> },
    ) => ({
      name,
      version,
      load: open,
    }),
    serve: (families: ReadonlyMap<string, { latest?: { version: string } }>) => {
      latest.push(families.get('m')?.latest?.version);
    },
  } as unknown as ModelHost;
  const repository = await FolderRepository.open({
    folder,
    host,
    warn: (text) => warnings.push(text),
    open: async (_found, _name, version) => {
      if (version === '1') return {} as never;
      if (goes) await rm(join(folder, 'm', '2'), { recursive: true });
      throw new Error('no such file');
    },
  });
  onTestFinished(async () => {
    await repository.stop();
    await rm(folder, { recursive: true });
  });
  expect(warnings).toEqual(goes ? [] : ['m version 2 is refused: no such file']);
  expect(latest[0]).toBe('1');
});
